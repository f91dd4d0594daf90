"""The gateway's process carries no language-model library."""

import subprocess
import sys


def test_the_gateway_loads_no_model_library() -> None:
    code = (
        "import sys, gateway.main, gateway.bootstrap\n"
        "from shared.config.settings import PlatformSettings\n"
        "gateway.main.create_app(PlatformSettings())\n"
        "heavy = {'langchain', 'langchain_core', 'langgraph', 'openai', 'anthropic', 'tiktoken'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


def test_importing_the_module_reads_no_settings() -> None:
    code = "import gateway.main; assert 'app' not in vars(gateway.main)"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=60,
        env={"PATH": "", "HTTP_PORT": "not a number"},
    )
