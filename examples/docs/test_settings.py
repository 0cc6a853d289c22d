from settings import MailSettings

# --8<-- [start:load]
from quintet.config import load_settings


def test_settings_come_from_the_environment() -> None:
    loaded = load_settings(
        MailSettings,
        env={"MAIL_PORT": "587", "MAIL_SENDERS": "a@example.com,b@example.com"},
        dotenv=None,
        toml=None,
    )
    assert loaded[MailSettings].port == 587
    assert loaded[MailSettings].senders == ["a@example.com", "b@example.com"]
    assert loaded[MailSettings].host == "localhost"


# --8<-- [end:load]


def test_settings_come_from_the_file() -> None:
    loaded = load_settings(
        MailSettings, env={}, dotenv=None
    )  # quintet.toml here
    assert loaded[MailSettings].host == "mail.example.com"
    assert loaded[MailSettings].senders == ["shop@example.com"]
