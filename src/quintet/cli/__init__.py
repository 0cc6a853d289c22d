"""The command `quintet`: one file per command, loaded when it is used."""
