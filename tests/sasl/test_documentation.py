"""The page on the library: its section on SASL runs, and its table is the table."""

import re
from pathlib import Path

from msmtp.sasl import MECHANISMS, server
from msmtp.sasl.mechanisms import NEVER, SECURE, load

PAGE = Path(__file__).parents[2] / "docs" / "smtp-library.md"


def section():
    return PAGE.read_text().split("\n## msmtp.sasl\n")[1].split("\n## ")[0]


def test_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", section(), re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["exchange"].outcome == server.ACCEPTED


def test_table_is_that_of_the_code():
    rows = re.findall(r"^\| ([A-Z][^|]+) \| [^|]+ \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", section(), re.MULTILINE)
    told = {name: row[1:] for row in rows for name in row[0].split(", ")}
    assert list(told) == [row.name.decode() for row in MECHANISMS]
    for row in MECHANISMS:
        automatic, sent, proves = told[row.name.decode()]
        wanted = {SECURE: "with channel binding" if row.binding else "yes", NEVER: "no"}
        assert automatic == wanted.get(row.automatic, "under TLS")
        assert (sent in {"the password", "an access token"}) == row.cleartext
        assert proves.strip() == ("yes" if load(row.name).mutual else "")
