"""msmtpd: takes mail by SMTP and hands each to a command, by processes that each hold only what they need."""
