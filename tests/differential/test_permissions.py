"""Who may read and own the file with the secrets, for a user who is not root."""

from __future__ import annotations

from tests.support.differential import NOBODY, Bed, Case, Differs, all_of

BASE = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\n"
SECRET = BASE + "password secret\n"


def may(name: str, config: str = SECRET, options: str = "-P", **more: object) -> Case:
    """What a user that is not root may do."""
    return Case(name, options, config=config, **{"user": NOBODY, **more})  # type: ignore[arg-type]


# fmt: off
CASES = [
    may("a secret, mode 600"),
    may("a secret, mode 400", mode=0o400),
    may("a secret, mode 640", mode=0o640),
    may("a secret, mode 604", mode=0o604),
    may("a secret, mode 620", mode=0o620),
    may("a secret, mode 700", mode=0o700),
    may("a secret, mode 644, to send", options="ann@example.net", mode=0o644),
    may("a secret, mode 644, --serverinfo", options="-S", mode=0o644),
    may("no secret, mode 644", BASE, mode=0o644),
    may("passwordeval, mode 644", BASE + "passwordeval echo secret\n", mode=0o644),
    may("a secret by eval, mode 644", BASE + "eval echo password secret\n", mode=0o644),
    may("an empty password, mode 644", BASE + "password\n", mode=0o644),
    may("a secret in an account that is not used, mode 644", SECRET.replace("default", "other") + BASE, mode=0o644),
    may("a secret in a comment, mode 644", BASE + "# password secret\n", mode=0o644),
    may("a secret in a file of -C, mode 644", "-", "-P -C {home}/mine", files={"mine": SECRET}, mode=0o644),
    may("a secret in the file of XDG_CONFIG_HOME, mode 644", "-", files={".config/msmtp/config": SECRET}, mode=0o644),
    may("root does not ask", mode=0o644, user=0),
    may("a file that cannot be read", BASE, mode=0o000, expect=Differs("unreadable-file", stderr="msmtp: cannot read user configuration file HOME/.msmtprc: Permission denied\nmsmtp: account default not found: no configuration file available\nmsmtp: run msmtp --configure=ADDRESS to have a configuration file suggested")),
    may("a system file that cannot be read", "-", etc={"msmtprc": BASE}, etc_mode=0o600, expect=Differs("unreadable-file", stderr="msmtp: cannot read system configuration file /etc/msmtprc: Permission denied\nmsmtp: account default not found: no configuration file available\nmsmtp: run msmtp --configure=ADDRESS to have a configuration file suggested")),
    may("a -C file that cannot be read", BASE, "-P -C {home}/mine", files={"mine": BASE}, mode=0o000),
    may("an aliases file that cannot be read", "-", "root -C {home}/mine --aliases={home}/aliases", files={"mine": BASE, "aliases": "root: a@b.example\n"}, mode=0o400),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
