"""Markdown becomes what WhatsApp shows."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_agent.domain.services.whatsapp_text import to_whatsapp


@pytest.mark.parametrize(
    ("markdown", "whatsapp"),
    [
        ("**tebal**", "*tebal*"),
        ("__tebal__", "*tebal*"),
        ("_miring_", "_miring_"),
        ("*sudah WhatsApp*", "*sudah WhatsApp*"),
        ("***keduanya***", "*_keduanya_*"),
        ("**a *b* c**", "*a _b_ c*"),
        ("~~lama~~ ~coret~", "~lama~ ~coret~"),
        ("`kode` dan ``k``", "`kode` dan `k`"),
        ("# Menu", "*Menu*"),
        ("### **Menu** kami ##", "*Menu kami*"),
        ("* satu\n+ dua\n- tiga", "- satu\n- dua\n- tiga"),
        ("  * bersarang", "- bersarang"),
        ("1) satu\n2. dua", "1. satu\n2. dua"),
        ("- [x] jadi\n- [ ] belum", "- jadi\n- belum"),
        ("[Menu](https://kopi.example/m)", "Menu: https://kopi.example/m"),
        ("[https://kopi.example](https://kopi.example)", "https://kopi.example"),
        ("[](https://kopi.example)", "https://kopi.example"),
        ("<https://kopi.example/a>", "https://kopi.example/a"),
        ("**[Menu](https://x.example)**", "*Menu: https://x.example*"),
        ('[a](https://x.example "judul")', "a: https://x.example"),
        ("https://x.example/a__b__c_**d", "https://x.example/a__b__c_**d"),
        ("![foto](https://x.example/y.png)ya", "ya"),
        ("> kutipan", "> kutipan"),
        ("a\n---\nb", "a\n\nb"),
        ("5 \\* 3 = 15", "5 * 3 = 15"),
        ("a&nbsp;b &amp; c", "a b & c"),
        ("a<br>b <b>c</b> <em>d</em>", "a\nb *c* _d_"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("Harga **Rp25.000**/cup", "Harga *Rp25.000*/cup"),
        ("2 ** 3 ** 4", "2 ** 3 ** 4"),
        ("snake_case_name", "snake_case_name"),
        ("", ""),
    ],
)
def test_each_mark_has_its_form(markdown: str, whatsapp: str) -> None:
    assert to_whatsapp(markdown) == whatsapp


def test_a_code_block_keeps_every_character() -> None:
    assert to_whatsapp("```python\nx = **1**  # [a](b)\n```") == "```\nx = **1**  # [a](b)\n```"


def test_a_table_becomes_lines() -> None:
    table = "| Nama | Harga |\n|:-----|------:|\n| **Kopi** | Rp25.000 |\n| Teh | Rp10.000 |\n\nOk"
    assert to_whatsapp(table) == ("*Nama – Harga*\n- *Kopi* – Rp25.000\n- Teh – Rp10.000\n\nOk")


_MARKED = st.lists(
    st.sampled_from(
        [
            "**",
            "*",
            "_",
            "__",
            "~~",
            "`",
            "```",
            "\n",
            " ",
            "kopi",
            "Rp25.000",
            "# ",
            "- ",
            "| a |",
            "|---|",
            "[a](",
            "https://x.example/a_b",
            ")",
            "![",
            "<b>",
            "1. ",
            "👨‍👩‍👧",
        ]
    ),
    max_size=40,
).map("".join)


@given(st.one_of(st.text(), _MARKED))
@settings(max_examples=400, deadline=None)
def test_it_never_raises(text: str) -> None:
    assert isinstance(to_whatsapp(text), str)


_OWN = st.lists(
    st.sampled_from(
        [
            "*tebal*",
            "_miring_",
            "~coret~",
            "`kode`",
            "kopi",
            "Rp25.000",
            "\n",
            "\n- ",
            "\n1. ",
            "https://x.example/a_b",
            "😊",
        ]
    ),
    max_size=20,
).map(" ".join)


@given(_OWN)
@settings(max_examples=200, deadline=None)
def test_what_it_wrote_once_it_leaves_alone(text: str) -> None:
    once = to_whatsapp(text)
    assert to_whatsapp(once) == once


@pytest.mark.parametrize(
    "hostile",
    [
        "**a " * 25_000,
        "`" * 100_000,
        "# a" + " " * 100_000 + "b",
        "[a](" * 25_000,
        "[" * 100_000,
        "__a_" * 25_000,
        "| a " * 25_000 + "\n|---|",
        "<" * 100_000,
        "\\" * 100_000,
    ],
)
def test_hostile_text_takes_no_time(hostile: str) -> None:
    began = time.process_time()
    to_whatsapp(hostile)
    assert time.process_time() - began < 2
