from __future__ import annotations

import itertools

import pytest

from fathom.data.helpdesk import SPLITS, messages
from fathom.data.helpdesk.chatter import CONTEXT, CONTRASTS, NEAR, WISHES
from fathom.data.helpdesk.entities import SENTENCES
from fathom.data.helpdesk.grammar import Chooser, Piece, Template, owner, parse, share, templates
from fathom.data.helpdesk.lexicon import LABELS, lexicon


def expand(source: str, key: str = "k") -> str:
    pieces = parse("t", source).expand(Chooser(key), lambda slot: [Piece(f"<{slot}>", slot.upper())])
    return "".join(piece.text for piece in pieces)


def test_alternatives_options_and_slots():
    found = {expand("a (b|c|) {x}[ d]", str(key)) for key in range(200)}
    assert found == {f"a {middle} <x>{end}" for middle in ("b", "c", "") for end in ("", " d")}


@pytest.mark.parametrize("source", ["(a|b", "a)", "[a", "a|b", "(a]", "{slot"])
def test_unbalanced_templates_are_refused(source):
    with pytest.raises(ValueError):
        parse("t", source)


def test_random_streams_do_not_depend_on_the_python_version():
    chooser = Chooser("fathom")
    assert [chooser.below(1000) for _ in range(6)] == EXPECTED
    assert sorted(Chooser("s").shuffled(range(9))) == list(range(9))


EXPECTED = [885, 613, 48, 918, 207, 537]


def all_blocks(language):
    for label, intent in messages.INTENTS[language].items():
        yield f"{label}/request", intent.templates
        yield f"{label}/aside", intent.asides
        yield f"{label}/goal", messages.GOALS[language][label]
    yield "context", CONTEXT[language]
    yield "wish", WISHES[language]
    yield "contrast", CONTRASTS[language]
    yield "entities", SENTENCES[language]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_line_parses_is_written_once_and_names_known_slots(language):
    words = set(lexicon(language, "train")._words)
    lines: list[str] = []
    for name, block in all_blocks(language):
        for split in SPLITS:
            for template in templates(name, block)[split]:
                assert set(template.slots) <= {*LABELS, *words, "goal", "other"}, template
        lines += block.strip().splitlines()
    assert all(line == line.strip() and line for line in lines)
    assert len(lines) == len(set(lines))


def test_both_languages_say_the_same_intents_in_many_ways():
    assert tuple(messages.INTENTS["en"]) == tuple(messages.INTENTS["zh"]) == tuple(NEAR) == messages.LABELS
    assert len(messages.LABELS) == 24
    for language in ("en", "zh"):
        assert tuple(messages.GOALS[language]) == messages.LABELS
        for intent in messages.INTENTS[language].values():
            assert len(intent.templates.strip().splitlines()) >= 25
    assert all(label not in near and set(near) <= set(messages.LABELS) for label, near in NEAR.items())


def names(value) -> set[str]:
    if isinstance(value, Template):
        return {value.name}
    if isinstance(value, dict):
        value = list(value.values())
    return set().union(*(names(item) for item in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_template_belongs_to_two_splits(language):
    owned = {split: names(list(vars(messages.speech(language, split)).values())) for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not owned[one] & owned[other]
    for split in SPLITS:
        speech = messages.speech(language, split)
        assert all(len(found) >= 2 for found in (*speech.requests.values(), *speech.goals.values()))
        assert all(speech.asides.values()) and speech.contexts and speech.contrasts and speech.wishes


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_value_of_the_lexicon_belongs_to_two_splits(language):
    shelves = {split: lexicon(language, split) for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        for name, items in shelves[one].lists.items():
            assert len(items) == len(set(items)) > 0
            assert not {item.casefold() for item in items} & {item.casefold() for item in shelves[other].lists[name]}
    for split in SPLITS:
        assert all(len(days) >= 3 for days in shelves[split].relative_days.values())


def test_owner_ignores_case_and_punctuation():
    assert owner("Last Friday!") == owner("last friday")
    assert {owner(str(number)) for number in range(50)} == set(SPLITS)
    assert share(list("abcdef"), "train") == list("ace")
