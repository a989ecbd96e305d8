"""Runs every analyser whose loader would take the bytes. The content decides; the name is a hint."""

from collections.abc import Sequence
from typing import Protocol

from heliotrope.scan.analysers import ANALYSERS, HEAD, TEXTS
from heliotrope.scan.interface import Analyser, Context, LimitReachedError, Recognised, Source, UnreadableError
from heliotrope.scan.recognised import EXPECTED_FORMATS, recognise

__all__ = ["ThirdParty", "analyse", "analyse_nested"]

_TOGETHER = {"tflite", "zip"}
"""A TensorFlow Lite model carries its labels in an archive behind it."""


class ThirdParty(Protocol):
    """An analyser of another package; it raises nothing and keeps its own notes."""

    @property
    def refines(self) -> tuple[str, ...]:
        """Formats that its own are built on."""

    def accepts(self, source: Source, name: str) -> bool: ...

    def analyse(self, source: Source, name: str, context: Context) -> Recognised: ...


def analyse(source: Source, name: str, context: Context, third_party: Sequence[ThirdParty] = ()) -> Recognised | None:
    """Inspect a file or a part of one; None when nothing recognises it."""
    ours = _analyse(source, name, context)
    accepting = [item for item in third_party if item.accepts(source, name)]
    if not accepting:
        return ours or recognise(source, name)
    theirs = [item.analyse(source, name, context) for item in accepting]
    formats = [*([ours.format] if ours else ()), *dict.fromkeys(result.format for result in theirs)]
    refined = {base for item in accepting for base in item.refines}
    distinct = [label for label in dict.fromkeys(formats) if label not in refined]
    if len(distinct) > 1:
        message = f"the same bytes are {' and '.join(distinct)}"
        context.notes.add("file-polyglot", message, key=message, member=context.member, offset=0)
    results = [*([ours] if ours else ()), *theirs]
    named = next((result.format for result in results if result.format in distinct), results[0].format)
    _check_extension(name, named, context)
    return Recognised(
        named,
        supported=all(result.supported for result in results),
        model=any(result.model for result in results),
    )


def _analyse(source: Source, name: str, context: Context) -> Recognised | None:
    """What our own analysers say; None when none of them takes it."""
    try:
        accepting = _accepting(source, name, context)
        results = [analyser.analyse(source, name, context) for analyser in accepting]
        text = _text(source, name, context)
    except LimitReachedError as error:
        context.notes.incomplete(error.reason, limit=error.limit, member=context.member)
        return Recognised("unknown")
    except UnreadableError as error:
        context.notes.incomplete(str(error), member=context.member)
        return Recognised("unknown")
    if not results:
        return text
    formats = [result.format for result in results]
    if len(formats) > 1 and set(formats) != _TOGETHER:
        message = f"the same bytes are {' and '.join(formats)}"
        context.notes.add("file-polyglot", message, key=message, member=context.member, offset=0)
    _check_extension(name, results[0].format, context)
    return results[0]


def _text(source: Source, name: str, context: Context) -> Recognised | None:
    if not TEXTS.may(b"", name.lower(), source):
        return None
    texts = TEXTS.load()
    return texts.analyse(source, name, context) if texts.accepts(source, name) else None


def _accepting(source: Source, name: str, context: Context) -> list[Analyser]:
    accepting: list[Analyser] = []
    head, lower = source.read(0, HEAD), name.lower()
    for registered in ANALYSERS:
        if not registered.may(head, lower, source):
            continue
        analyser = registered.load()
        if registered.format == "pickle" and any(_begins_here(other, head) for other in accepting):
            # Another format's magic stands at the beginning, so a few bytes that look like opcodes prove nothing.
            from heliotrope.scan.pickles.streams import credible_pickle

            if credible_pickle(source, context):
                accepting.append(analyser)
        elif analyser.accepts(source, name):
            accepting.append(analyser)
    # A file that begins as a pickle and ends as an archive is named after its beginning.
    return sorted(accepting, key=lambda analyser: not _begins_here(analyser, head))


def _begins_here(analyser: Analyser, head: bytes) -> bool:
    return analyser.format != "zip" or head[:2] == b"PK"


def _check_extension(name: str, actual: str, context: Context) -> None:
    dot = name.rfind(".")
    extension = name[dot:].lower() if dot > name.rfind("/") else ""
    expected = EXPECTED_FORMATS.get(extension)
    if actual == "git-lfs-pointer":
        return  # it stands for whatever the name promises
    if expected is not None and actual not in expected and not actual.startswith("idx") and context.depth == 0:
        message = f"the name ends in {extension}, the content is {actual}"
        context.notes.add("file-extension-mismatch", message, key=actual, member=context.member)


def analyse_nested(
    source: Source, name: str, context: Context, third_party: Sequence[ThirdParty] = ()
) -> Recognised | None:
    """Inspect bytes found inside others, unless they are too deep."""
    if context.depth > context.limits.max_depth:
        reason = f"more than {context.limits.max_depth} levels deep"
        context.notes.incomplete(reason, limit="max_depth", member=context.member)
        return Recognised("unknown")
    recognised = analyse(source, name, context, third_party)
    if recognised is not None and not recognised.supported and recognised.model:
        context.notes.incomplete(f"it holds {recognised.format}, which cannot be analysed", member=context.member)
    return recognised
