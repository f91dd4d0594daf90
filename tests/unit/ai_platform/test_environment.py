from pathlib import Path

from ai_platform.embedded.credentials import Credentials
from ai_platform.embedded.data_dir import DataDir
from ai_platform.embedded.environment import Addresses, service_environment
from ai_platform.embedded.options import UpOptions

ADDRESSES = Addresses(database="postgresql://app@/d", migration=None, redis="unix:///r")
KEYS = Credentials(master_key="master", api_key_pepper="pepper")


def _environment(inherited: dict[str, str], *, host: str = "127.0.0.1", demo: bool = True):  # type: ignore[no-untyped-def]
    options = UpOptions(data_dir=DataDir(Path("/d")), host=host, port=8123, demo=demo)
    return service_environment(inherited, options, ADDRESSES, KEYS, Path("/run/aip"))


def test_services_are_told_everything_they_need() -> None:
    made = _environment({})
    assert made["DATABASE_URL"] == "postgresql://app@/d"
    assert made["REDIS_URL"] == "unix:///r"
    assert (made["HTTP_HOST"], made["HTTP_PORT"]) == ("127.0.0.1", "8123")
    assert (made["MASTER_KEY"], made["API_KEY_PEPPER"]) == ("master", "pepper")
    assert made["READY_SERVICES"] == "commerce-agent,llm-worker,messenger"
    assert made["RUN_DIR"] == "/run/aip"
    assert made["SIMULATOR_ENABLED"] == "true"


def test_the_owner_of_the_database_is_not_handed_on() -> None:
    assert "DATABASE_MIGRATION_URL" not in _environment({})


def test_what_the_operator_set_stays() -> None:
    made = _environment({"OPENAI_API_KEY": "sk-1", "MASTER_KEY": "theirs", "API_KEY_PEPPER": ""})
    assert made["OPENAI_API_KEY"] == "sk-1"
    assert made["MASTER_KEY"] == "theirs"
    assert made["API_KEY_PEPPER"] == "pepper"


def test_a_server_that_others_reach_has_no_demo_login() -> None:
    assert _environment({})["DEMO_ENABLED"] == "true"
    assert _environment({}, host="0.0.0.0")["DEMO_ENABLED"] == "false"
    assert _environment({}, demo=False)["DEMO_ENABLED"] == "false"


def test_the_demo_shop_gets_the_number_that_the_operator_brings() -> None:
    waha = {"WAHA_SERVER_URL": "http://localhost:3000"}
    assert _environment(waha)["DEFAULT_TENANT"] == "kopi-braga"
    assert _environment({**waha, "DEFAULT_TENANT": "toko"})["DEFAULT_TENANT"] == "toko"
    assert "DEFAULT_TENANT" not in _environment({})
    assert "DEFAULT_TENANT" not in _environment({"WAHA_SERVER_URL": ""})
    assert "DEFAULT_TENANT" not in _environment(waha, demo=False)
