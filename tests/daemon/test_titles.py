"""Process titles: shown in the process list, in every role, for next to nothing."""

from __future__ import annotations

import importlib.util
import sys
import textwrap

import pytest
from tests.support.inside import USERS, run

ROLES = ("worker", "auth", "tls", "supervisor", "delivery", "delivery-setgid")
WITH = f"""
    sys.path[:0] = {[path for path in sys.path if "packages" in path]!r}
    from msmtp.daemon import titles
"""
WITHOUT = """
    import importlib.machinery
    original = importlib.machinery.PathFinder.find_spec
    find = lambda name, *rest: None if name == 'setproctitle' else original(name, *rest)
    importlib.machinery.PathFinder.find_spec = find
"""


def shown(code):
    done = run(textwrap.dedent(WITH) + textwrap.dedent(code))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_title_takes_the_place_of_the_command_line():
    code = """
        titles.set_title('supervisor: 3 of 16 sessions')
        print(open('/proc/self/cmdline').read().rstrip('\\0'))
        titles.set_title('supervisor: ' + 'x' * 100_000)
        print(len(open('/proc/self/cmdline').read()) > 20)
    """
    assert shown(code) == "msmtpd: supervisor: 3 of 16 sessions\nTrue\n"


def test_the_package_is_not_loaded_for_it_where_its_extension_is_enough():
    assert shown("titles.set_title('keeper'); print('logging' in sys.modules, 'setproctitle' in sys.modules)") == (
        "False False\n"
    )


def test_a_package_that_looks_otherwise_is_loaded_whole():
    code = """
        import types
        sys.modules['setproctitle'] = types.SimpleNamespace(setproctitle=print)
        import importlib.machinery
        original = importlib.machinery.PathFinder.find_spec
        find = lambda name, path=None: None if name.startswith('_') else original(name, path)
        importlib.machinery.PathFinder.find_spec = find
        titles.set_title('keeper')
    """
    assert shown(code) == "msmtpd: keeper\n"


@pytest.mark.parametrize(
    ("title", "name"), [("keeper", "msmtpd"), ("worker: 127.0.0.1", "msmtpd-worker"), ("supervisor", "msmtpd-supervis")]
)
def test_without_the_library_the_process_has_a_name(title, name):
    code = f"    titles.set_title({title!r})\n    print(open('/proc/self/comm').read(), end='')\n"
    assert shown(textwrap.dedent(WITHOUT) + textwrap.dedent(code)) == f"{name}\n"


@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("head", ["", WITHOUT])
def test_it_can_be_set_inside_every_role(role, uid, head):
    code = f"""
        titles.set_title('keeper')
        prepared = sandbox.prepare({role!r})
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            os.setgroups([]) if os.getuid() == 0 != {uid} else None
            os.setresgid({uid}, {uid}, {uid})
            os.setresuid({uid}, {uid}, {uid})
            prepared.enter('require')
            titles.set_title('{role}: busy')
            os.write(writes, b'x')
            time.sleep(20)
            os._exit(1)
        os.close(writes)
        assert os.read(reads, 1) == b'x'
        print(open(f'/proc/{{child}}/cmdline').read().rstrip('\\0').replace('\\n', ' '))
        os.kill(child, 9)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    title, status = shown(textwrap.dedent(head) + textwrap.dedent(code)).splitlines()
    assert status == "-9"
    assert head or title == f"msmtpd: {role}: busy"


def test_a_title_costs_next_to_nothing():
    code = """
        titles.set_title('keeper')
        begin = time.perf_counter()
        for number in range(1000):
            titles.set_title(f'supervisor: {number} of 1000 sessions')
        print((time.perf_counter() - begin) / 1000 < 100e-6)
    """
    assert shown(code) == "True\n"


def test_the_library_is_here_for_these_tests():
    assert importlib.util.find_spec("setproctitle") is not None
