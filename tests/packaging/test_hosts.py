"""Our packages in booted hosts, Debian 12 and 13: the units, what packages leave, who else on a machine sends mail.

Each host is booted once for all tests here, which leave it as they found it: the packages installed, configured for a mail
provider's server that runs in the host, port 25 not open.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.host import SUITES, Host, build_packages

pytestmark = [pytest.mark.booted, pytest.mark.root, pytest.mark.timeout(600)]

PROVIDER = """
account default
host localhost
port 2525
auth plain
user joe
password pA55-of-the-provider
from host@example.org
aliases /etc/aliases
"""
SECRET = "pA55-of-the-provider"
TOP = Path(__file__).parents[2]
OPTIONS = (TOP / "packaging" / "debian" / "etc" / "msmtpd.conf").read_text()
RULES = (TOP / "packaging" / "etc" / "policy").read_text()
"""What the packages install, to which an administrator adds lines."""

# Speaks SMTP in the host; the lines of a script come before it.
CLIENT = """
import smtplib, socket
def connect(path="/run/msmtpd/smtp"):
    client = smtplib.SMTP(local_hostname="client.example", timeout=30)
    client._host = "localhost"
    client.sock = socket.socket(socket.AF_UNIX)
    client.sock.settimeout(30)
    client.sock.connect(path)
    code, words = client.getreply()
    assert code == 220, (code, words)
    return client
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> list[Path]:
    return build_packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module", params=SUITES)
def host(request, packages, tmp_path_factory) -> Iterator[Host]:
    """A host with everything installed and configured."""
    with Host(request.param, tmp_path_factory.mktemp("host")) as made:
        made.install(*packages, "bsd-mailx", "s-nail", "mutt", "smartmontools", "unattended-upgrades")
        made.write("/srv/smarthost.py", (TOP / "tests" / "support" / "smarthost.py").read_text())
        made.run(f"systemd-run -q --unit=smarthost python3 /srv/smarthost.py 2525 /mails joe {SECRET}")
        made.wait("ls -d /mails")
        made.write("/etc/msmtpd/msmtprc", PROVIDER, 0o600)
        made.write("/etc/aliases", "root: admin@example.org\n")
        made.run("useradd -m joe && useradd -m bob")
        yield made


@pytest.fixture(autouse=True)
def _clean(request) -> None:
    """No mail, and no count of the restarts of the tests before."""
    host = request.getfixturevalue("bare" if "bare" in request.fixturenames else "host")
    host.run("rm -f /mails/*; systemctl reset-failed; systemctl start msmtpd.socket msmtpd-send.socket", check=False)


@contextlib.contextmanager
def holding(host: Host, path: str, text: str, mode: int = 0o644, *, then: str) -> Iterator[None]:
    """A file in the host for a while; ``then`` is run when it is there, and when it is as it was again."""
    host.run(f"[ ! -e {path} ] || cp -p {path} {path}.kept")
    host.write(path, text, mode)
    try:
        host.run(then)
        yield
    finally:
        host.run(f"rm {path}; [ ! -e {path}.kept ] || mv {path}.kept {path}; {then}")


@contextlib.contextmanager
def ruled(host: Host, rules: str) -> Iterator[None]:
    """Rules of the host's administrator for a while, before those that there are."""
    with holding(host, "/etc/msmtpd/policy", rules + RULES, then="systemctl restart msmtpd-send.service"):
        yield


def mails(host: Host, count: int = 1, seconds: float = 30) -> list[str]:
    """So many mails that the provider took, the oldest first."""
    host.wait(f"[ $(ls /mails | grep -vc new) -ge {count} ] && echo there", seconds)
    found = host.run("cd /mails && for mail in *; do cat $mail; printf '\\0'; done").stdout.split("\0")[:-1]
    assert len(found) == count
    return found


def ask(host: Host, script: str, **more: object) -> str:
    """Run Python in the host, with CLIENT in front."""
    return host.run("python3 -", input=CLIENT + script, **more).stdout.strip()  # type: ignore[arg-type]


def meanwhile(do: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=do)
    thread.start()
    return thread


# -- the units


def test_exposure_as_the_hosts_systemd_sees_it(host):
    for unit in ("msmtpd.service", "msmtpd@one.service", "msmtpd-send.service"):
        host.run(f"systemd-analyze security --no-pager --threshold=15 {unit}")


def test_units_are_understood(host):
    done = host.run(
        "systemd-analyze verify --man=no msmtpd.service msmtpd@one.service msmtpd-send.service msmtpd.socket "
        "msmtpd-send.socket msmtpd-smtp.socket msmtpd-inetd.socket 2>&1; "
        "XDG_RUNTIME_DIR=/run systemd-analyze verify --man=no --user /usr/lib/systemd/user/msmtpd.service 2>&1"
    )
    assert "msmtp" not in done.stdout


def test_started_on_demand(host):
    host.run("systemctl stop msmtpd.service msmtpd-send.service")
    assert host.said("systemctl is-active msmtpd.socket msmtpd-send.socket") == "active\nactive"
    host.run("echo hello | mail -s first root")
    assert "to admin@example.org\n" in mails(host)[0]
    assert host.said("systemctl is-active msmtpd.service msmtpd-send.service") == "active\nactive"


def test_no_secret_is_anywhere_to_be_read(host):
    host.run("echo hello | mail -s hi root")
    mails(host)
    shown = host.run(
        "systemctl show '*'; ps axeww; journalctl -b -o verbose; cat /proc/[0-9]*/environ | tr '\\0' '\\n'"
    ).stdout
    lines = [line for line in shown.splitlines() if SECRET in line and "smarthost.py" not in line]
    assert not lines
    for user in ("joe", "msmtpd", "msmtpd-send"):
        assert host.run("cat /etc/msmtpd/msmtprc", user=user, check=False).returncode
    for user in ("joe", "msmtpd"):
        assert host.run("cat /run/credentials/msmtpd-send.service/msmtprc", user=user, check=False).returncode
    front = host.said("systemctl show -P MainPID msmtpd.service")
    assert SECRET not in host.run(f"nsenter -m -t {front} cat /etc/msmtprc").stdout
    send = host.said("systemctl show -P MainPID msmtpd-send.service")
    assert SECRET in host.run(f"nsenter -m -t {send} cat /etc/msmtprc").stdout


def test_what_speaks_with_clients_can_make_no_connection(host):
    host.run("echo hello | mail -s hi root")
    asked = "import socket; socket.socket(socket.AF_INET)"
    properties = host.run("systemctl cat msmtpd.service").stdout
    confining = re.findall(r"^((?:Restrict|SystemCall|Capability|NoNew)\S*=.*)", properties, re.MULTILINE)
    options = " ".join(f"-p '{each}'" for each in confining)
    done = host.run(f"systemd-run -q --pipe -p User=msmtpd {options} python3 -c '{asked}' 2>&1", check=False)
    assert "Address family not supported" in done.stdout


def test_a_hanging_delivery_is_started_anew(host):
    unit = "msmtpd-send.service"
    drop_in = f"/run/systemd/system/{unit}.d/watchdog.conf"
    with holding(
        host, drop_in, "[Service]\nWatchdogSec=3\n", then=f"systemctl daemon-reload; systemctl restart {unit}"
    ):
        host.run("echo hello | mail -s before root")
        first = host.said(f"systemctl show -P MainPID {unit}")
        host.run(f"kill -STOP {first}")
        host.wait(f"[ $(systemctl show -P MainPID {unit}) != {first} ] && systemctl is-active {unit}", 60)
        assert "Watchdog timeout" in host.journal("-u", unit)
        host.wait("echo hello | mail -s after root && echo sent", 60)
        assert len(mails(host, 2)) == 2


def test_a_hanging_supervisor_is_seen_by_the_watchdog(host):
    unit = "msmtpd.service"
    drop_in = f"/run/systemd/system/{unit}.d/watchdog.conf"
    with holding(
        host, drop_in, "[Service]\nWatchdogSec=4\n", then=f"systemctl daemon-reload; systemctl restart {unit}"
    ):
        first = host.said(f"systemctl show -P MainPID {unit}")
        host.run(f"for pid in $(pgrep -P {first}); do kill -STOP $pid; done")
        host.wait(f"[ $(systemctl show -P MainPID {unit}) != {first} ] && systemctl is-active {unit}", 90)
        assert "Watchdog timeout" in host.journal("-u", unit)
        host.run("echo hello | mail -s after root")
        mails(host)


def test_what_both_services_hold_in_memory(host):
    host.run("systemctl restart msmtpd-send.service msmtpd.service; echo hello | sendmail you@example.net")
    mails(host)
    shares = (
        "cat $(pgrep -x 'msmtpd.*' | sed 's,.*,/proc/&/smaps_rollup,') | awk '/^Pss:/ { sum += $2 } END { print sum }'"
    )
    assert 10_000 < int(host.said(f"sleep 2; {shares}")) < 39 * 1024  # 4 of them wait for a further mail


def test_a_reload_refuses_no_connection(host):
    host.run("systemctl start msmtpd.service")
    first = host.said("systemctl show -P MainPID msmtpd.service")
    counting = "for _ in range(150):\n    client = connect(); client.ehlo(); client.quit()\nprint('served')"
    served: list[str] = []
    clients = meanwhile(lambda: served.append(ask(host, counting)))
    for _ in range(4):
        host.run("systemctl reload msmtpd.service")
    clients.join()
    assert served == ["served"]
    assert host.said("systemctl show -P MainPID msmtpd.service") == first
    assert "the options were read again" in host.journal("-u", "msmtpd.service")


def test_wrong_options_are_refused_and_the_old_ones_stay(host):
    host.run("systemctl start msmtpd.service")
    with holding(host, "/etc/msmtpd.conf", f"{OPTIONS}max-sise 3\n", then="systemctl reload msmtpd.service || true"):
        host.wait("journalctl -b MSMTPD_EVENT=reload_refused | grep max-sise")
        host.run("echo hello | mail -s hi root")
        mails(host)


@pytest.mark.parametrize(
    "what", ["stop msmtpd.service", "restart msmtpd-send.service", "restart msmtpd.service msmtpd-send.service"]
)
def test_a_mail_under_way_is_not_lost(host, what):
    codes: list[int] = []
    sending = meanwhile(
        lambda: codes.append(host.run("echo hello | sendmail slow@example.net", check=False).returncode)
    )
    host.wait("journalctl -b -n 5 -u msmtpd.service | grep connection; sleep 1; echo on its way")
    host.run(f"systemctl {what}", seconds=60)
    sending.join()
    assert codes == [0]
    assert "to slow@example.net" in mails(host)[0]
    host.wait("echo hello | mail -s again root && echo sent")
    mails(host, 2)


def test_fields_of_the_journal(host):
    host.run("echo hello | sendmail you@example.net", user="joe")
    mails(host)
    host.run("journalctl --sync")
    (line,) = host.said("journalctl -b -o json -n 1 MSMTPD_EVENT=delivered").splitlines()
    said = json.loads(line)
    assert said["MSMTPD_SENDER"].startswith("joe@")
    assert said["MSMTPD_RECIPIENTS"] == "1"
    assert said["MSMTPD_COMMAND"]
    assert said["SYSLOG_IDENTIFIER"] == "msmtpd"
    assert said["_SYSTEMD_UNIT"] == "msmtpd-send.service"
    (line,) = host.said("journalctl -b -o json -n 1 MSMTPD_EVENT=connected").splitlines()
    assert "user" in json.loads(line)["MSMTPD_PEER"]


def test_the_user_is_known_from_the_kernel(host):
    host.run(
        "printf 'From: joe@host.example\\nSubject: hi\\n\\nhi\\n' | USER=bob sendmail -f joe@host.example you@example.net",
        user="joe",
    )
    assert "(user joe at a unix socket)" in mails(host)[0]


def test_status(host):
    host.run("echo hello | sendmail you@example.net")
    told = host.run("msmtpd --status").stdout
    assert re.search(r" [1-9]\d*  mails that the command took", told)


TO_PORT_25 = """
import smtplib, sys
smtplib.SMTP(sys.argv[1], 25).sendmail("joe@host.example", ["you@example.net"], "Subject: tcp\\n\\nhi\\n")
"""


def test_port_25_for_those_who_ask(host):
    host.write("/srv/client.py", TO_PORT_25)
    refused = host.run("python3 /srv/client.py localhost 2>&1", check=False)
    assert "refused" in refused.stdout
    try:
        host.run("systemctl stop msmtpd.service && systemctl enable --now msmtpd-smtp.socket 2>&1")
        for address in ("127.0.0.1", "::1"):
            host.run(f"python3 - {address}", input=TO_PORT_25, user="joe")
        mails(host, 2)
        host.run("journalctl --sync")
        connected = host.run("journalctl -b -o cat MSMTPD_EVENT=connected | tail -n 2").stdout
        assert len(re.findall(r"connection from (?:127.0.0.1|\[::1\]):\d+ \(user (?:1000|joe)\)", connected)) == 2, (
            connected
        )
    finally:
        host.run("systemctl disable --now msmtpd-smtp.socket 2>&1; systemctl stop msmtpd.service")


def test_a_process_for_each_connection(host):
    try:
        host.run("systemctl start msmtpd-inetd.socket")
        host.run("python3 - localhost", input=TO_PORT_25)
        mails(host)
        host.wait("! systemctl list-units --no-legend 'msmtpd@*.service' | grep -q running && echo gone")
    finally:
        host.run("systemctl stop msmtpd-inetd.socket")


AUTHENTICATE = """
client = connect(); client.ehlo()
print(client.mail("scanner@example.org")[0], client.docmd("AUTH PLAIN", "AHNjYW5uZXIAd3Jvbmc=")[0])
client = connect()
client.login("scanner", "pA55-of-the-scanner")
for sender in ("scanner@host.example", "scanner@example.org"):
    try:
        client.sendmail(sender, ["you@example.net"], "Subject: scan\\n\\nhi\\n")
    except smtplib.SMTPDataError as refused:
        print(refused.smtp_code, refused.smtp_error.decode())
"""


def test_clients_that_have_to_authenticate(host):
    password = holding(host, "/etc/credstore/msmtpd.auth", "pA55-of-the-scanner\n", 0o600, then="true")
    options = holding(host, "/etc/msmtpd.conf", f"{OPTIONS}auth scanner\n", then="systemctl restart msmtpd.service")
    with password, options:
        first, second = ask(host, AUTHENTICATE).splitlines()
        assert first == "530 535"
        assert "does not let scanner (who gave the password) send as scanner@example.org" in second
        with ruled(host, "for auth scanner\n  from scanner@example.org %U@%M\n"):
            assert ask(host, AUTHENTICATE) == "530 535"
        mails(host, 3)
        shown = host.run("systemctl show msmtpd.service; ps axeww; journalctl -b -o verbose").stdout
        assert "pA55-of-the-scanner" not in shown


def test_a_unit_of_a_users_own(host):
    host.run("mkdir -p ~bob/.config/systemd/user/msmtpd.service.d && printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/msmtpd "
             "--port=2500 \"--auth=%%u,cat %%h/.password\" --log=journal\\n' >~bob/.config/systemd/user/msmtpd.service.d/password.conf; "
             "printf 'account default\\nhost localhost\\nport 2525\\nauth plain\\nuser joe\\npassword %s\\nfrom bob@example.org\\n' "
             f"{SECRET} >~bob/.msmtprc; echo pA55-of-bob >~bob/.password; chmod 600 ~bob/.msmtprc ~bob/.password; chown -R bob: ~bob; "
             "loginctl enable-linger bob")  # fmt: skip
    runtime = f"XDG_RUNTIME_DIR=/run/user/{host.said('id -u bob')}"
    host.wait(f"ls {runtime.partition('=')[2]}/systemd/private")
    host.run(f"{runtime} systemctl --user start msmtpd.service || journalctl -n 30 _UID=$(id -u)", user="bob")
    send = ("import smtplib; c = smtplib.SMTP('localhost', 2500); c.login('bob', 'pA55-of-bob'); "
            "c.sendmail('bob@example.org', ['you@example.net'], 'Subject: mine\\n\\nhi\\n')")  # fmt: skip
    host.run(f'python3 -c "{send}"', user="bob")
    assert "from bob@example.org" in mails(host)[0]
    host.run(
        f"{runtime} systemctl --user reload msmtpd.service && {runtime} systemctl --user stop msmtpd.service",
        user="bob",
    )
    host.run("loginctl disable-linger bob")


# -- who else sends mail


def test_cron_mails_what_jobs_print(host):
    jobs = "* * * * * root echo printed by a job\n* * * * * joe sleep 2; echo printed by a job of joe\n"
    host.write("/etc/cron.d/job", f"MAILTO=root\n{jobs}")
    host.run("systemctl restart cron")
    mail, of_joe = mails(host, 2, 90)
    host.run("rm /etc/cron.d/job; systemctl restart cron")
    assert mail.startswith("from root@host.example\n")
    assert of_joe.startswith("from joe@host.example\n")
    assert "\nFrom: joe@host.example\n" in of_joe
    assert of_joe.endswith("printed by a job of joe\n")
    assert "to admin@example.org\n" in mail
    assert "Subject: Cron <root@host> echo printed by a job" in mail
    assert mail.endswith("printed by a job\n")


@pytest.mark.parametrize("program", ["bsd-mailx", "s-nail"])
def test_mail(host, program):
    host.run(f"echo hello | {program} -s 'from {program}' root")
    (mail,) = mails(host)
    assert f"Subject: from {program}\n" in mail
    assert mail.endswith("hello\n")


def test_mutt(host):
    host.run(
        "echo hello | mutt -s 'from mutt' -a /etc/hostname -- you@example.net",
        user="joe",
        environment=["HOME=/home/joe"],
    )
    (mail,) = mails(host)
    assert "Subject: from mutt\n" in mail
    assert "host.example" in mail


def test_smartd(host):
    host.run(
        "SMARTD_MAILER=mail SMARTD_ADDRESS=root SMARTD_FAILTYPE=EmailTest SMARTD_DEVICE=/dev/sda "
        "SMARTD_DEVICESTRING=/dev/sda SMARTD_DEVICETYPE=auto SMARTD_MESSAGE='TEST EMAIL from smartd' SMARTD_FULLMESSAGE='TEST EMAIL' "
        "SMARTD_DEVICEINFO=disk SMARTD_TFIRST=now SMARTD_TFIRSTEPOCH=0 /usr/share/smartmontools/smartd_warning.sh"
    )
    (mail,) = mails(host)
    assert "Subject: SMART error (EmailTest)" in mail
    assert "TEST EMAIL from smartd" in mail


UNATTENDED = """
from importlib.machinery import SourceFileLoader
program = SourceFileLoader("unattended", "/usr/bin/unattended-upgrade").load_module()
for way in ("_send_mail_using_mailx", "_send_mail_using_sendmail"):
    assert getattr(program, way)("root", "root", "unattended-upgrades result", "All upgrades installed\\n") == 0, way
"""


def test_unattended_upgrades(host):
    host.run("python3 -W ignore -", input=UNATTENDED)
    for mail in mails(host, 2):
        assert "Subject: unattended-upgrades result" in mail
        assert "to admin@example.org\n" in mail


# -- what packages leave


def newer(packages: list[Path], folder: Path) -> list[Path]:
    """The same packages as a later version."""
    made = []
    for package in packages:
        tree = folder / package.stem
        subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
        control = tree / "DEBIAN" / "control"
        control.write_text(re.sub(r"(\d\.\d\.\d)-1", r"\1-2", control.read_text()))
        target = folder / package.name.replace("-1_", "-2_")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, target], check=True, capture_output=True)
        made.append(target)
    return made


def bundles(host: Host) -> str:
    return host.said("ls /usr/share/msmtp-py/msmtp/__pycache__/*.bundle 2>/dev/null | wc -l", check=False)


def test_an_upgrade_finishes_what_is_under_way_and_keeps_the_configuration(host, packages, tmp_path):
    later = newer(packages, tmp_path)
    codes: list[int] = []
    sending = meanwhile(
        lambda: codes.append(host.run("echo hello | sendmail slow@example.net", check=False).returncode)
    )
    host.wait("sleep 1; echo on its way")
    host.install(*later)
    sending.join()
    assert codes == [0]
    assert host.said("dpkg-query -W -f '${Version}' msmtp-py-mta").endswith("-2")
    assert SECRET in host.run("cat /etc/msmtpd/msmtprc").stdout
    host.run("echo hello | mail -s after root")
    mails(host, 2)
    assert bundles(host) == "6"
    host.install(*packages)


def test_python_that_changes_has_the_bundles_made_anew(host):
    host.run("rm /usr/share/msmtp-py/msmtp/__pycache__/*.bundle")
    host.run("echo hello | sendmail you@example.net")  # it does without
    host.run("dpkg-trigger --no-await --by-package=python3-minimal /usr/bin/python3 && dpkg --triggers-only --pending")
    assert bundles(host) == "6"
    host.run("echo hello | sendmail you@example.net")
    mails(host, 2)


def test_removed_purged_and_installed_again(host, packages):
    host.run("apt-get -qq -y remove msmtp-py-mta msmtp-py 2>&1", seconds=200)
    assert host.said("systemctl list-units --no-legend --plain 'msmtpd*' | cut -d' ' -f1", check=False) == ""
    assert not host.run("ls /usr/share/msmtp-py /usr/sbin/sendmail /usr/bin/msmtp /run/msmtpd/smtp", check=False).stdout
    assert SECRET in host.run("cat /etc/msmtpd/msmtprc").stdout
    host.install(*packages)
    host.run("echo hello | sendmail you@example.net")
    mails(host)
    host.run("apt-get -qq -y purge msmtp-py-mta msmtp-py 2>&1", seconds=200)
    left = host.run("find / -xdev -iname '*msmtp*' -not -path '/packages/*' -not -path '/proc/*' -not -path '/sys/*' "
                    "-not -path '/var/log/*' -not -path '/home/*' -not -path '/var/cache/apt/*' -not -path '/run/*'").stdout  # fmt: skip
    assert not left, left
    assert host.run("cat /etc/aliases").stdout
    host.install(*packages, "bsd-mailx")
    assert host.said("stat -c '%U %a' /etc/msmtpd/msmtprc") == "root 600"
    host.write("/etc/msmtpd/msmtprc", PROVIDER, 0o600)
    host.run("systemctl restart msmtpd-send.service; echo hello | sendmail you@example.net")
    mails(host, 2)


def test_in_the_place_of_debians_msmtp_and_back(host, packages):
    host.run("apt-get -qq -y purge msmtp-py-mta msmtp-py 2>&1", seconds=200)
    host.install("msmtp", "msmtp-mta")
    host.write("/etc/msmtprc", "account default\nhost localhost\nport 2525\nfrom old@example.org\n")
    host.install(*packages, "bsd-mailx")
    assert host.said("dpkg-query -W -f '${db:Status-Status}' msmtp msmtp-mta") in {
        "config-filesnot-installed",
        "config-filesconfig-files",
    }
    assert (
        "old@example.org" in host.run("sendmail --pretend you@example.net </dev/null").stdout
    )  # a file of the administrator's stays
    host.run("[ ! -e /etc/apparmor.d/usr.bin.msmtp ] || [ -e /etc/apparmor.d/disable/usr.bin.msmtp ]")
    host.install("msmtp", "msmtp-mta")
    assert host.said("dpkg-query -W -f '${db:Status-Status}' msmtp-py") == "config-files"
    assert "msmtp version 1.8" in host.run("msmtp --version").stdout
    host.run("apt-get -qq -y purge msmtp msmtp-mta 2>&1; rm -f /etc/msmtprc")
    host.install(*packages, "bsd-mailx")
    host.write("/etc/msmtpd/msmtprc", PROVIDER, 0o600)


# -- inetd


def entry(word: str) -> str:
    """What the text has for inetd or xinetd, by a word of its beginning."""
    text = commands("inetd")
    return text[text.index(word) :].partition("\n" if word == "127" else "\n}")[0]


def test_inetd(host):
    host.install("openbsd-inetd")
    with holding(host, "/etc/inetd.conf", entry("127") + "\n", then="systemctl restart openbsd-inetd.service"):
        host.wait("ss -tln | grep '127.0.0.1:25 '")
        host.run("python3 - 127.0.0.1", input=TO_PORT_25, user="joe")
        mails(host)
    host.run("systemctl stop openbsd-inetd.service")


def test_xinetd(host):
    host.install("xinetd")
    text = entry("service") + "\n}\n"
    with holding(host, "/etc/xinetd.d/msmtpd", text, then="systemctl restart xinetd.service"):
        host.wait("ss -tln | grep '127.0.0.1:25 '")
        host.run("python3 - 127.0.0.1", input=TO_PORT_25, user="joe")
        mails(host)
    host.run("systemctl stop xinetd.service")


# -- without packages


INSTALL = (TOP / "docs" / "install.md").read_text()


def commands(title: str) -> str:
    """The indented lines of a section."""
    section = re.split(r"(?m)^##+ ", INSTALL.partition(f"## {title}\n")[2])[0]
    return "\n".join(re.findall(r"(?m)^ {4}(.*)$", section))


@pytest.fixture(scope="module", params=SUITES)
def bare(request, tmp_path_factory) -> Iterator[Host]:
    """A host into which msmtp was installed as the text says."""
    with Host(request.param, tmp_path_factory.mktemp("bare")) as made:
        files = subprocess.run(
            "git ls-files -z --cached --others --exclude-standard src packaging | tar -c --null -T - | base64", shell=True, cwd=TOP, check=True, capture_output=True, text=True
        ).stdout  # fmt: skip
        made.run("mkdir /srv/msmtp && base64 -d | tar -x -C /srv/msmtp", input=files)
        made.run(
            "cd /srv/msmtp && python3 packaging/launcher/install.py --prefix /usr && ln -s ../bin/msmtp /usr/sbin/sendmail"
        )
        made.run(f"cd /srv/msmtp && set -e && {commands('systemd, without the packages')}")
        made.write("/srv/smarthost.py", (TOP / "tests" / "support" / "smarthost.py").read_text())
        made.run(f"systemd-run -q --unit=smarthost python3 /srv/smarthost.py 2525 /mails joe {SECRET}")
        made.wait("ls -d /mails")
        made.write("/etc/msmtpd/msmtprc", PROVIDER.replace("aliases /etc/aliases\n", ""), 0o600)
        yield made


def test_by_hand(bare):
    bare.run("echo hello | sendmail you@example.net")
    assert "to you@example.net\n" in mails(bare)[0]


def test_a_setgid_command_in_the_unit_that_the_text_has_for_it(bare):
    bare.run(
        "groupadd drop && install -d -m 2730 -g drop /var/spool/postfix && install -g drop -m 2755 /usr/bin/tee /usr/bin/drop"
    )
    rules = holding(bare, "/etc/msmtpd/policy", RULES.replace("  header replace\n", ""), then="true")
    options = holding(
        bare,
        "/etc/msmtpd.conf",
        f'{OPTIONS}command "drop /var/spool/postfix/mail /dev/null"\n',
        then="systemctl restart msmtpd-send.service",
    )
    drop_in = "/etc/systemd/system/msmtpd-send.service.d/command.conf"
    with holding(bare, drop_in, commands("Another command"), then="systemctl daemon-reload"), rules, options:
        bare.run("echo hello | sendmail /dev/null@example.net", check=False)
        assert bare.said("stat -c %G /var/spool/postfix/mail") == "drop"
        assert (
            "no new privileges" not in bare.journal("-u", "msmtpd-send.service").rpartition("role delivery-setgid")[2]
        )
