"""A name server that misbehaves to order (for well-behaved ones the tests start nsd), on 127.0.0.1 port 53.

    with NameServer({"two.test": ["192.0.2.1", "2001:db8::1"], "broken.test": "SERVFAIL", "slow.test": None}) as server:
        ...
    server.queries      # [("two.test", "A"), ("two.test", "AAAA"), ...]

A name that is not in the table does not exist; None: no answer ever comes; a str: the response code.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    def __init__(
        self, names: Mapping[str, list[str] | str | None], address: tuple[str, int] = ("127.0.0.1", 53)
    ) -> None:
        self.names = names
        self.queries: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(0.05)
        self.port = self._socket.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                data, client = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind))
        known = self.names.get(name, "NXDOMAIN")
        if known is None:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA | dns.flags.AA
        if isinstance(known, str):
            answer.set_rcode(dns.rcode.from_text(known))
            return answer
        fitting = [text for text in known if kind == ("AAAA" if ":" in text else "A")]
        if fitting:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *fitting))
        return answer
