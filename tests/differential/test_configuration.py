"""Configuration files: every command, quoting, blocks and inheritance, eval, and errors of every kind."""

from __future__ import annotations

from tests.support.differential import SAME, Bed, Case, Differs, all_of, shows
from tests.support.scripted import Polite

BASE = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\n"


def command(line: str, name: str = "") -> Case:
    """One command in an account that would work without it, seen by --pretend."""
    shown = name or (line if len(line) < 60 else line[:50] + " ...")
    return Case(shown, "-P", config=f"{BASE}{line}\n", expect=EXPECTED.get(line, SAME))


def refused(line: str, name: str = "") -> Case:
    """The same, where an error is due."""
    return command(line, name or f"refused: {line}")


NEWER = {"until": (1, 8, 27), "exit": (78, 0), "stderr": ""}
EXPECTED = {
    "socket ~/socket": Differs("tilde-socket", stdout=("socket = ~/socket", "socket = HOME/socket")),
    "from <>": Differs("null-sender", stdout=("from = <>", "from = ")),
    'from_full_name "Joe User"': Differs("newer", stdout=shows("from_full_name = Joe User"), **NEWER),
    "from_full_name": Differs("newer", stdout=shows("from_full_name = "), **NEWER),
    "allow_from_override": Differs("accepted", exit=(78, 0), stderr="", stdout=shows("allow_from_override = on")),
    "dsn_return hdrs": Differs("accepted", exit=(78, 0), stderr="", stdout=shows("dsn_return = HDRS")),
}

# fmt: off
CASES = [
    # -- every command with a value
    *(
        command(line)
        for line in (
            "host other.invalid", "port 2525", "port 0x10", "port 010", "source_ip 127.0.0.2", "source_ip", "proxy_host 127.0.0.1",
            "proxy_host", "proxy_port 9050", "proxy_port", "socket {home}/socket", "socket ~/socket", "socket", "timeout 20", "timeout off",
            "connect_timeout 20", "protocol smtp", "protocol lmtp", "domain me.example", "domain",
            "auth", "auth on", "auth off", "auth login", "auth plain", "user joe", "user", 'user "joe user"', "password secret",
            "password", "passwordeval echo secret", "passwordeval", "ntlmdomain dom", "ntlmdomain",
            "tls", "tls on", "tls off", "tls_starttls", "tls_starttls off", "tls_starttls on", "tls_nostarttls",
            "tls_trust_file {home}/ca", "tls_trust_file ~/ca", "tls_trust_file system", "tls_trust_file", "tls_crl_file {home}/crl", "tls_crl_file",
            "tls_fingerprint " + ":".join(["aB"] * 32), "tls_fingerprint", "tls_fingerprint " + " ".join(["01"] * 20),
            "tls_key_file", "tls_cert_file", "tls_certcheck", "tls_certcheck off", "tls_nocertcheck", "tls_force_sslv3",
            "tls_min_dh_prime_bits 512", "tls_min_dh_prime_bits", "tls_priorities NORMAL", "tls_priorities", "tls_host_override mail.example",
            "tls_host_override", "auto_from", "auto_from on", "auto_from off", "maildomain here.example", "maildomain",
            "from ann@example.org", "from", "from <>", 'from_full_name "Joe User"', "from_full_name", "allow_from_override off", "allow_from_override on", "allow_from_override",
            "set_from_header", "set_from_header auto", "set_from_header on", "set_from_header off", "set_date_header auto", "set_date_header off",
            "set_date_header", "set_msgid_header off", "set_msgid_header", "add_missing_from_header off", "add_missing_from_header",
            "add_missing_date_header off", "add_missing_date_header on", "remove_bcc_headers off", "remove_bcc_headers", "keepbcc on", "keepbcc off", "keepbcc",
            "undisclosed_recipients on", "undisclosed_recipients off", "undisclosed_recipients", "dsn_notify never", "dsn_notify failure,delay,success", "dsn_notify off",
            "dsn_return headers", "dsn_return hdrs", "dsn_return full", "dsn_return off", "logfile ~/log", "logfile -", "logfile", "logfile_time_format %Y",
            "logfile_time_format none", "logfile_time_format", "syslog", "syslog on", "syslog off", "syslog LOG_MAIL", "syslog LOG_LOCAL7",
            "aliases ~/aliases", "aliases",
        )
    ),
    Case("tls_key_file and tls_cert_file", "-P", config=BASE + "tls_key_file ~/k\ntls_cert_file ~/c\n"),
    # -- each with a value that is none of its values
    *(
        refused(line)
        for line in (
            "host", "port", "port 0", "port 65536", "port -1", "port smtp", "port 25x", 'port ""', "proxy_port x", "proxy_port 70000", "timeout", "timeout 0", "timeout -1",
            "timeout x", "timeout Off", "protocol", "protocol uucp", "auth maybe", "auth PLAIN", "tls maybe", "tls ON", "tls_starttls maybe",
            "tls_nostarttls on", "tls_certcheck maybe", "tls_nocertcheck on", "tls_fingerprint 01:02", "tls_fingerprint " + "zz:" * 15 + "zz",
            "tls_fingerprint " + "-".join(["01"] * 16), "tls_min_dh_prime_bits 0", "tls_min_dh_prime_bits x", "auto_from maybe",
            "allow_from_override maybe", "set_from_header maybe", "set_date_header on", "set_msgid_header on", "add_missing_from_header auto",
            "remove_bcc_headers maybe", "keepbcc maybe", "undisclosed_recipients maybe",
            "dsn_notify", "dsn_notify sometimes", "dsn_notify never,delay", "dsn_notify delay,delay", "dsn_notify failure, delay", "dsn_return", "dsn_return half",
            "syslog LOG_NONE", "syslog maybe", "nonsense", "Host h", "tls_key_file ~/k", "tls_cert_file ~/c", "eval", "defaults x", "port = 25", "port=25",
        )
    ),
    Case("the nearest word is named", "-P", config=BASE + "tls_startls on\n", expect=Differs("hints", stderr=("unknown command tls_startls", "unknown command tls_startls\nmsmtp: did you mean 'tls_starttls'?"))),
    Case("a command that only ours has", "-P", config=BASE + "partial_recipients on\n", expect=Differs("new-options", exit=(78, 0), stderr="", stdout=shows("partial_recipients = on"))),
    # -- what contradicts what
    Case("tls without any trust", "-P", config=BASE + "tls on\ntls_trust_file\n"),
    Case("tls without trust but with a fingerprint", "-P", config=BASE + "tls on\ntls_trust_file\ntls_fingerprint " + "01" * 32 + "\n"),
    Case("tls without trust and checks", "-P", config=BASE + "tls on\ntls_trust_file\ntls_certcheck off\n"),
    Case("a revocation list without trust", "-P", config=BASE + "tls on\ntls_certcheck off\ntls_trust_file\ntls_crl_file ~/crl\n"),
    Case("tls on a socket without host", "-P", config="account default\nsocket ~/s\ntls on\n"),
    Case("tls on a socket with tls_host_override", "-P", config="account default\nsocket ~/s\ntls on\ntls_host_override h\n", expect=Differs("tilde-socket", stdout=("socket = ~/s", "socket = HOME/s"))),
    Case("neither host nor socket", "-P", config="account default\nport 25\n"),
    Case("lmtp without port", "-P", config="account default\nhost h.invalid\nprotocol lmtp\n"),
    Case("lmtp on a socket", "-P", config="account default\nsocket ~/s\nprotocol lmtp\n", expect=Differs("lmtp-socket", exit=(78, 0), stderr="", stdout=shows("protocol = lmtp"))),
    Case("no from, to send", "ann@example.net", config="account default\nhost 127.0.0.1\nport {port}\n"),
    # -- form
    Case("blank lines, comments and blanks before commands", "-P", config="# first\n\n   \n\t# second\n  host 127.0.0.1\n\tport\t2525  \n"),
    Case("a comment behind an argument is an argument", "-P", config=BASE + "user joe # me\n"),
    Case("commands before any account make the default account", "-P", config="host h.invalid\nfrom a@b.example\n"),
    Case("a file without a last line end", "-P", config="host h.invalid\nport 2525"),
    Case("CRLF line ends", "-P", config=BASE.replace("\n", "\r\n") + "user joe\r\ntls on\r\n\r\n# end\r\n"),
    Case("quotes around the argument go", "-P", config='account "default"\nhost "h.invalid"\nport "2525"\nuser " joe "\n'),
    Case("a quote inside stays", "-P", config=BASE + 'user jo"e\ndomain "a"b"\n'),
    Case("a quote that is not closed", "-P", config=BASE + 'user "joe\n'),
    Case("a quote alone", "-P", config=BASE + 'user "\n'),
    Case("empty quotes", "-P", config=BASE + 'user ""\n'),
    Case("empty quotes where a value is due", "-P", config=BASE + 'host ""\n'),
    Case("an empty file", "-P", config=""),
    Case("a file of comments", "-P", config="# nothing\n"),
    Case("no file", "-P", config="-"),
    Case("no file, to send", "ann@example.net", config="-"),
    Case("the file in XDG_CONFIG_HOME", "-P", config="-", files={"xdg/msmtp/config": BASE}, environment={"XDG_CONFIG_HOME": "{home}/xdg"}),
    Case("the file in ~/.config", "-P", config="-", files={".config/msmtp/config": BASE}),
    Case("~/.msmtprc comes before ~/.config", "-P", config="host one.invalid\n", files={".config/msmtp/config": "host two.invalid\n"}),
    Case("a line of 500 characters", "-P", config=BASE + "user " + "x" * 495 + "\n", expect=Differs("line-length", exit=(78, 0), stderr="", stdout=shows("user = xxx"))),
    Case("a line of 501 characters", "-P", config=BASE + "user " + "x" * 496 + "\n", expect=Differs("line-length", exit=(78, 0), stderr="", stdout=shows("user = xxx"))),
    Case("a byte order mark", "-P", config="\ufeff" + BASE, expect=Differs("bom", exit=(78, 0), stderr="", stdout=shows("host = 127.0.0.1"))),
    Case("a NUL", "-P", config="-", files={".msmtprc": b"host h.invalid\nuser j\0e\n"}, expect=Differs("line-length", exit=(0, 78), stderr=shows("line 2: contains a NUL octet"), stdout=lambda _their, our: "user" not in our)),
    Case("UTF-8 in a value", "-P", config=BASE + "from_full_name Jöe\nuser jöe\n", expect=Differs("newer", stdout=shows("from_full_name = Jöe", "user = jöe"), **NEWER)),
    Case("Latin-1 in a value", "-f j@e.example -C {home}/mine ann@example.net", config="-", files={"mine": b"host 127.0.0.1\nport {port}\nauth plain\nuser j\xf6e\npassword p\xe4ss\n"}, server=Polite(extensions=("PIPELINING",), mechanisms=["PLAIN"], users={b"j\xf6e": b"p\xe4ss"})),
    Case("the file is a folder", "-P", config="-", files={".msmtprc/x": ""}, mode=0o755),
    # -- blocks
    Case("defaults hold for what follows", "-P", config="defaults\nport 2525\ntls on\naccount default\nhost h.invalid\n"),
    Case("defaults do not hold for what stands above", "-P -a one", config="account one\nhost h.invalid\ndefaults\nport 2525\naccount two\nhost i.invalid\n"),
    Case("defaults twice: both hold", "-P", config="defaults\nport 2525\ndefaults\ntls on\naccount default\nhost h.invalid\n"),
    Case("defaults behind an account", "-P", config="account one\nhost one.invalid\ndefaults\nport 99\naccount default\nhost h.invalid\n"),
    Case("an account overrides defaults", "-P", config="defaults\nport 2525\naccount default\nhost h.invalid\nport 26\n"),
    Case("an account that inherits", "-P", config="account one\nhost one.invalid\nuser joe\nport 2525\naccount default : one\nuser ann\n"),
    Case("an account that inherits from two", "-P", config="account one\nhost one.invalid\nuser joe\nport 2525\naccount two\nhost two.invalid\ntls on\naccount default : one, two\nuser ann\n"),
    Case("inheriting only takes what was set", "-P", config="account one\nhost one.invalid\nport 2525\naccount two\nhost two.invalid\naccount default : one,two\n"),
    Case("a value set back to its default is set", "-P", config="defaults\ntls on\naccount one\nhost one.invalid\ntls off\ndefaults\ntls on\naccount default:one\n"),
    Case("defaults of the time of the parent do not travel", "-P", config="defaults\nport 99\naccount one\nhost one.invalid\ndefaults\nport 98\naccount default : one\n"),
    Case("inheriting through a chain", "-P", config="account one\nhost one.invalid\naccount two : one\nuser joe\naccount default : two\nport 77\n"),
    Case("no blanks around the colon", "-P", config="account one\nhost one.invalid\naccount default:one\n"),
    Case("an unknown parent", "-P", config="account default : one\nhost h.invalid\n"),
    Case("a parent further down", "-P", config="account default : one\nhost h.invalid\naccount one\nhost i.invalid\n"),
    Case("an account that inherits from itself", "-P", config="account one : one\nhost h.invalid\n"),
    Case("an account twice", "-P", config="account one\nhost h.invalid\naccount one\nhost i.invalid\n"),
    Case("an account without name", "-P", config="account\nhost h.invalid\n"),
    Case("an account with a comma in its name", "-P", config="account a,b\nhost h.invalid\n"),
    Case("an account with an empty parent", "-P", config="account one\nhost h.invalid\naccount two : one,\n"),
    Case("an account with a colon and no parent", "-P", config="account one :\nhost h.invalid\n"),
    Case("an account with a blank in its name", "-P -a 'my account'", config="account my account\nhost h.invalid\n"),
    Case("account default behind others without settings", "-P", config="account one\nhost one.invalid\naccount default\n"),
    Case("an error in an account that is not used", "-P", config=BASE + "account other\nport x\n"),
    # -- eval
    Case("eval", "-P", config=BASE + "eval echo user ann\n"),
    Case("eval: only the first line counts", "-P", config=BASE + "eval printf 'user ann\\nuser bob\\n'\n"),
    Case("eval without line end", "-P", config=BASE + "eval printf 'user ann'\n"),
    Case("eval that gives a comment", "-P", config=BASE + "eval echo '# nothing'\n"),
    Case("eval that gives nothing", "-P", config=BASE + "eval true\n", expect=Differs("command-fails", exit=(74, 78), stderr=("cannot read output of 'true'", "line 5: cannot read output of 'true': it printed nothing"))),
    Case("eval that gives an empty line", "-P", config=BASE + "eval echo\n"),
    Case("eval that gives nonsense", "-P", config=BASE + "eval echo nonsense\n"),
    Case("eval of an account", "-P -a x", config=BASE + "eval echo account x\nhost h.invalid\n"),
    Case("eval in quotes", "-P", config=BASE + 'eval "echo user ann"\n'),
    Case("eval that fails", "-P", config=BASE + "eval false\n", expect=Differs("command-fails", exit=(74, 78), stderr=("cannot read output of 'false'", "line 5: cannot read output of 'false': it ended with exit code 1"))),
    Case("eval that prints and fails", "-P", config=BASE + "eval echo user ann; false\n", expect=Differs("command-fails", exit=(0, 78), stderr="msmtp: HOME/.msmtprc: line 5: cannot read output of 'echo user ann; false': it ended with exit code 1", stdout="ignoring system configuration file /etc/msmtprc: No such file or directory")),
    Case("eval that reads standard input", "ann@example.net", config=BASE + "eval cat >/dev/null; echo user joe\n"),
    Case("eval of eval", "-P", config=BASE + "eval echo eval echo user ann\n"),
    Case("eval of a command that is not there", "-P", config=BASE + "eval /nonexistent/command\n", expect=Differs("command-fails", exit=(74, 78), stderr=("cannot read output of '/nonexistent/command'", "line 5: cannot read output of '/nonexistent/command': it ended with exit code 127"))),
    Case("eval of a password", "-P", config=BASE + "eval echo password secret\n"),
    # -- patterns
    Case("%U", "-P", config=BASE + "from %U@example.org\n"),
    Case("%U from LOGNAME", "-P", config=BASE + "from %U@example.org\n", environment={"USER": None, "LOGNAME": "ann"}),
    Case("%U without USER and LOGNAME", "-P", config=BASE + "from %U@example.org\n", environment={"USER": None}),
    Case("%H", "-P", config=BASE + "from joe@%H\ndomain %H\n"),
    Case("%C", "-P", config=BASE + "from joe@%C\ndomain %C\n", environment={"HOSTNAME": "localhost"}),
    Case("%M", "-P", config=BASE + "from joe@%M\ndomain %M\n", etc={"mailname": "mail.example\n"}),
    Case("%M without mailname", "-P", config=BASE + "from joe@%M\n"),
    Case("%M with an empty mailname", "-P", config=BASE + "from joe@%M\n", etc={"mailname": "\n"}),
    Case("patterns in the middle, twice", "-P", config=BASE + "from %U-%U@x.%H.example\n"),
    Case("other percent signs stay", "-P", config=BASE + "from a%b%%U@example.org%\n"),
    Case("patterns in domain: not %U", "-P", config=BASE + "domain %U.%H\n"),
    Case("patterns in -f", "-P -f %U@%H"),
    Case("patterns in --domain", "-P --domain=%H"),
    Case("auto_from without USER", "-P --auto-from --maildomain=x.example", environment={"USER": None, "LOGNAME": "ann"}),
    Case("maildomain with a pattern", "-P --auto-from --maildomain=%H"),
    # -- the system's file
    Case("the system's file", "-P", config="-", etc={"msmtprc": "host sys.invalid\nport 2525\n"}),
    Case("both files", "-P", config="account mine\nhost mine.invalid\n", etc={"msmtprc": "account default\nhost sys.invalid\n"}),
    Case("the user's account hides the system's", "-P", config="account default\nhost mine.invalid\n", etc={"msmtprc": "account default\nhost sys.invalid\n"}),
    Case("defaults do not cross files", "-P", config="account default\nhost mine.invalid\n", etc={"msmtprc": "defaults\nport 99\naccount a\nhost sys.invalid\n"}),
    Case("a parent in the other file is unknown", "-P", config="account default : sys\n", etc={"msmtprc": "account sys\nhost sys.invalid\n"}),
    Case("an error in the system's file", "-P", etc={"msmtprc": "account sys\nhost sys.invalid\nnonsense\n"}),
    Case("a secret in the system's file may be read by all", "-P", config="-", etc={"msmtprc": "host sys.invalid\nauth on\nuser u\npassword p\n"}, user=65534),
    Case("--host reads no file", "-P --host=h.invalid", config="nonsense\n"),
    Case("-a of the system's file", "-P -a sys", etc={"msmtprc": "account sys\nhost sys.invalid\n"}),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
