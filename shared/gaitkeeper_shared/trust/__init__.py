"""Who may say what: keys, certificates, signatures, envelope encryption, and a log that cannot be changed unseen."""
