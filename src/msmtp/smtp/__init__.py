"""SMTP and LMTP as a pure library: bytes in, events out; no socket, file, clock, process or randomness.

Two doors: :class:`msmtp.smtp.client.ClientConnection` and :class:`msmtp.smtp.server.ServerConnection`.  Both follow one
table, :data:`msmtp.smtp.transitions.TRANSITIONS`.  docs/smtp-library.md shows how to drive them.

Nothing is imported here: a program pays for the side it speaks.
"""
