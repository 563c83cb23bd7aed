"""Notes, warnings and progress on a terminal, elsewhere and when quiet."""

from __future__ import annotations

import io

import pytest

from fathom import log


def run(console: log.Console, steps: int = 3) -> None:
    with console.progress(10, "train", start=5) as progress:
        for step in range(6, 6 + steps):
            progress.update(step, {"loss": 1 / 3, "tokens/s": 12345.6, "memory": "1.2 GB"})


def test_plain_lines_show_the_first_and_the_last_step() -> None:
    stream = io.StringIO()
    run(log.Console(stream, terminal=False))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("train  6/10  loss 0.3333  tokens/s 12,346  memory 1.2 GB  left 0:0")
    assert lines[1].startswith("train  8/10")


def test_plain_lines_come_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, *[4.0 * step for step in range(1, 8)], 100.0])
    monkeypatch.setattr(log.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    console = log.Console(stream, terminal=False)
    with console.progress(7, "train") as progress:
        for step in range(1, 8):
            progress.update(step)
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["1/7", "4/7", "7/7"]


def test_a_terminal_gets_a_bar_with_the_values() -> None:
    stream = io.StringIO()
    run(log.Console(stream, terminal=True))
    assert "0.3333" in stream.getvalue()
    assert "8/10" in stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_text_is_written_as_it_is(terminal: bool) -> None:
    stream = io.StringIO()
    console = log.Console(stream, terminal=terminal)
    console.info("[bold]not markup[/bold] " + "long " * 40)
    console.warn("careful")
    assert "[bold]not markup[/bold]" in stream.getvalue()
    assert "warning: careful" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_quiet_keeps_only_warnings() -> None:
    stream = io.StringIO()
    console = log.Console(stream, terminal=False, quiet=True)
    run(console)
    console.info("note")
    console.warn("careful")
    assert stream.getvalue() == "warning: careful\n"


def test_the_console_of_the_process_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    log.get_console().info("hello")
    with log.quietly():
        log.get_console().info("unseen")
        with log.quietly(False):
            log.get_console().info("heard")
        log.get_console().info("unseen")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\nheard\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (12345, "12,345"), (0.000123456, "0.0001235"), (12345.6, "12,346"), (2000.0, "2,000"), ("x", "x")],
)
def test_numbers_are_short(value: log.Value, text: str) -> None:
    assert log.format_value(value) == text


def test_not_a_number_is_shown_as_such() -> None:
    assert log.format_value(float("nan")) == "nan"
    assert log.format_value(float("inf")) == "inf"


def test_durations_and_sizes() -> None:
    assert log.format_duration(59.6) == "1:00"
    assert log.format_duration(3725) == "1:02:05"
    assert log.format_bytes(2.5e9) == "2.50 GB"
    assert log.format_bytes(4e6) == "4 MB"
