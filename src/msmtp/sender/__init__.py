"""msmtp: reads a mail from standard input and hands it to an SMTP or LMTP server."""
