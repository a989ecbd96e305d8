"""Judges what one pickle stream does, by the shipped policy."""

import re
from collections.abc import Iterator

from heliotrope.scan.interface import LimitReachedError, Source
from heliotrope.scan.limits import ScanLimits
from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles.arguments import misuse, state_problem
from heliotrope.scan.pickles.array_states import ARRAY_CLASSES, ArrayStates
from heliotrope.scan.pickles.arrays import follow_array
from heliotrope.scan.pickles.distributions import distribution_problem
from heliotrope.scan.pickles.method_names import harmful_names
from heliotrope.scan.pickles.noting import STORAGE, StreamNotes, Use
from heliotrope.scan.pickles.replay import (
    ContradictoryType,
    Dtype,
    Name,
    Unclear,
    described_dtype,
    dtype_with_state,
    replay,
)
from heliotrope.scan.pickles.state import BrokenStreamError, State
from heliotrope.scan.policy import Entry, Policy

__all__ = ["Judge"]

_PLAUSIBLE = re.compile(r"[A-Za-z_][\w.]{0,199}", re.ASCII)
_IMPORTABLE = re.compile(r"[^\W\d][\w.-]{0,199}")
"""What a file beside the model may be called; the module runs before the name is looked up in it."""
_DANGEROUS_KINDS = frozenset({"dangerous", "dotted"})


class Judge(StreamNotes):
    """The observer of one stream."""

    def __init__(self, policy: Policy, limits: ScanLimits, *, in_array: bool = False) -> None:
        super().__init__(limits)
        self._policy = policy
        self._in_array = in_array
        self._inner: list[tuple[Judge, bool]] = []
        """Judges of the pickles inside arrays, and whether only what is dangerous counts."""
        self._arrays = ArrayStates()
        self._numbers: dict[tuple[str, str], int] = {}
        self._written: dict[tuple[str, str, bool], int] = {}
        """Imports as they are written, those of Python 2 apart; no more than three times as many as globals."""
        self.plausible_imports = 0
        self.importable = 0
        """Imports of modules that may exist, whatever is wanted of them."""
        self.dangerous = False
        self.calls = 0
        self.computed = 0
        self.inline_arrays = False
        self.nested: list[tuple[int, int]] = []
        """Offset and length of files stored as bytes, which torch loads as files."""
        self.carried: list[tuple[int, int]] = []
        """The same of bytes that a finding's callee gets, opened so that the report says what is inside."""
        self.follows_graphs = not in_array
        self.graphs: list[int] = []
        """Where traced modules are made, whose code is judged when the stream has ended."""

    # what the machine tells

    def imported(self, module: str, name: str, *, protocol: int, offset: int) -> int:
        written = (module, name, protocol < 3)
        number = self._written.get(written)
        if number is None:
            number = self._written[written] = self._number_of(module, name, python2=protocol < 3)
        use = self._uses[number]
        use.count += 1
        use.pushed += 1
        if len(use.offsets) < self._limits.max_locations:
            use.offsets.append(offset)
        if use.entry.kind == "dotted":
            use.acted = self.dangerous = True
            self._note("pickle-dotted-name", f"imports {use.full_name}, which {use.entry.reason}", offset, use)
        return number << op.KIND_BITS | op.GLOBAL

    def _number_of(self, module: str, name: str, *, python2: bool) -> int:
        if python2:
            renamed = self._policy.python3_name(module, name)
            # Without the mapping, which some loaders switch off, the name means something else; the worse one counts.
            if self._is_dangerous(renamed) or not self._is_dangerous((module, name)):
                module, name = renamed
        number = self._numbers.get((module, name))
        return self._new(module, name) if number is None else number

    def _new(self, module: str, name: str) -> int:
        if len(self._uses) >= self._limits.max_globals:
            self._note("pickle-unknown-state", f"imports more than {self._limits.max_globals} different things", 0)
            raise LimitReachedError("max_globals", f"more than {self._limits.max_globals} different imports")
        number = self._numbers[module, name] = len(self._uses)
        self._uses.append(Use(module, name, self._policy.lookup(module, name)))
        if _PLAUSIBLE.fullmatch(module) and (not name or _PLAUSIBLE.fullmatch(name)):
            self.plausible_imports += 1
        self.importable += _IMPORTABLE.fullmatch(module) is not None
        return number

    def _is_dangerous(self, name: tuple[str, str]) -> bool:
        return self._policy.lookup(*name).kind in _DANGEROUS_KINDS

    def computed_name(self, offset: int) -> int:
        self.computed += 1
        self._note("pickle-computed-name", "imports something whose name is computed while loading", offset)
        return op.UNRESOLVED

    def extension(self, code: int, offset: int) -> int:
        self.computed += 1
        self._note("pickle-extension-code", f"uses extension code {code}", offset, key=str(code))
        return op.UNRESOLVED

    def persistent(self, machine: State, identifier: int, *, offset: int) -> int:
        items = machine.items(identifier) if identifier & op.KIND_MASK == op.TUPLE else None
        if items and len(items) in _STORAGE_FIELDS and machine.text(items[0]) == STORAGE:
            self._note("pickle-persistent-id", "refers to storages of tensors outside itself", offset, key=STORAGE)
        else:
            self._note("pickle-persistent-id", "refers to objects outside itself", offset)
        if items and len(items) > 1 and items[1] & op.KIND_MASK == op.GLOBAL and machine.text(items[0]) == "module":
            return items[1]  # torch's old format: a class, together with its source text, stands for itself
        return op.PERSISTENT

    def defect(self, reason: str, offset: int) -> None:
        self._defects.setdefault(reason, offset)

    def disputed(self, reason: str, offset: int) -> None:
        self._note("pickle-split-frame", reason, offset)

    def called(self, machine: State, callee: int, arguments: int, *, use: str, offset: int) -> int:
        kind = callee & op.KIND_MASK
        self.calls += kind in _CALLABLES
        if kind == op.GLOBAL:
            if use.startswith("new"):
                self._arrays.made(machine, offset + 1)
            return self._called_global(machine, callee >> op.KIND_BITS, arguments, use, offset)
        if kind in _OBJECTS:
            name = self._uses[callee >> op.KIND_BITS].full_name
            self._note("pickle-computed-call", f"calls what {name} returned", offset, key=name)
        elif kind in (op.PERSISTENT, op.UNRESOLVED):
            self._note("pickle-computed-call", "calls something that cannot be resolved", offset)
        else:
            self.defect("it calls a value that is no function; a loader stops there", offset)
        return op.UNRESOLVED

    def _called_global(  # noqa: C901 - one branch for each kind of entry
        self, machine: State, number: int, arguments: int, use: str, offset: int
    ) -> int:
        target = self._uses[number]
        entry = target.entry
        target.acted = True
        target.calls += 1
        target.ways.add(use)
        items = machine.items(arguments) if arguments & op.KIND_MASK == op.TUPLE else None
        self._check_items(items, offset, target)
        if entry.kind != "allowed":
            self._carried(machine, items)
        if entry.shape == "graph-module" and self.follows_graphs:
            self.graphs.append(offset)
        if entry.kind == "dangerous":
            self.dangerous = True
            self._note("pickle-dangerous-call", f"calls {target.full_name}, which {entry.reason}", offset, target)
        elif entry.kind in ("unknown", "framework"):
            message = f"calls {target.full_name}, which is not on the list of what models need"
            self._note("pickle-unknown-call", message, offset, target, confidence="medium", how=use)
        elif entry.kind == "allowed":
            problem = misuse(self, machine, entry, items, use)
            if problem:
                self._note("pickle-unknown-state", f"calls {target.full_name} {problem}", offset, target, how=use)
            if entry.code:
                message = f"rebuilds {target.full_name}, code of {entry.framework}"
                self._note("pickle-framework-code", message, offset, target)
        if (
            entry.shape in ("class-first", "index-first", "new-object", "reconstructor", "empty-array")
            and items
            and items[0] & op.KIND_MASK == op.GLOBAL
        ):
            self._uses[items[0] >> op.KIND_BITS].begun = offset + 1
            self._arrays.made(machine, offset + 1)
            return items[0] >> op.KIND_BITS << op.KIND_BITS | op.INSTANCE
        target.begun = offset + 1
        if entry.shape == "dtype":
            number = self._dtype(machine, number, items)
        if entry.shape == "getattr":
            return self._attribute(machine, items)
        if entry.shape == "callee-first":  # it has set a state already
            return number << op.KIND_BITS | op.USED
        return number << op.KIND_BITS | (op.INSTANCE if use == "new" else op.RESULT)

    def _carried(self, machine: State, items: list[int] | None) -> None:
        """Bytes that are handed to something nobody vouches for: `pickle.loads`, `io.BytesIO` for torch.load or numpy.load."""
        for item in items or ():
            if item & op.KIND_MASK == op.BYTES and len(self.carried) < _MAX_CARRIED:
                self.carried.append(machine.bytes_at(item))

    def _attribute(self, machine: State, items: list[int] | None) -> int:
        """What getattr returns: one of the methods that the policy lists."""
        owner = self.use_of(items[0]) if items else None
        name = machine.text(items[1]) if items is not None and len(items) == 2 else None
        if owner is None or name is None or f"{owner.full_name}.{name}" not in self._policy.attributes:
            return op.UNRESOLVED
        key = owner.module, f"{owner.name}.{name}"
        number = self._numbers.get(key)
        if number is None:
            number = self._new(*key)
        self._uses[number].pushed += 1
        return number << op.KIND_BITS | op.GLOBAL

    def _dtype(self, machine: State, number: int, items: list[int] | None) -> int:
        """The number of this one call; that of the function itself when there are too many, or it is an unusual one."""
        called = self._uses[number]
        if not items or len(self._uses) >= self._limits.max_globals:
            return number
        try:
            dtype = described_dtype(machine.text(items[0]))
        except Unclear:
            return number
        self._uses.append(Use(called.module, called.name, called.entry, acted=True, begun=called.begun, dtype=dtype))
        return len(self._uses) - 1

    def _check_items(self, items: list[int] | None, offset: int, target: Use) -> None:
        for item in items or ():
            if item & op.KIND_MASK == op.GLOBAL:
                use = self._uses[item >> op.KIND_BITS]
                if use.entry.kind == "dangerous":
                    use.acted = self.dangerous = True
                    message = f"hands {use.full_name}, which {use.entry.reason}, to {target.full_name}"
                    self._note("pickle-dangerous-call", message, offset, use)

    def built(self, machine: State, target: int, state: int, *, offset: int) -> int:
        items = machine.items(state) if state & op.KIND_MASK == op.TUPLE else [state]
        use = self._uses[target >> op.KIND_BITS] if target & op.KIND_MASK in _OBJECTS else None
        if use is not None and use.entry.shape == "inline-array":
            return self._array(machine, use, target, offset)
        if use is not None and use.dtype is not None:
            self._complete_dtype(machine, use, target, offset)
        self._changed(target, "build", "sets the state of", offset, items)
        if use is not None and use.entry.kind == "allowed":
            problem = state_problem(self, machine, use.entry, state)
            if use.entry.shape == "distribution":
                begun = 0 if target & op.KIND_MASK == op.USED else use.begun
                problem = distribution_problem(machine, begun, offset, self.lookup)
            if problem:
                self._note("pickle-unknown-state", f"sets the state of {use.full_name} {problem}", offset, use)
        if use is not None and _is_array(use.entry, use.name):
            problem = self._arrays.problem(machine, state, lambda tag: self._uses[tag >> op.KIND_BITS].full_name)
            if problem:
                self._note("pickle-unknown-state", f"sets a state of {use.full_name} {problem}", offset, use)
        if target & op.KIND_MASK == op.USED:
            name = self._uses[target >> op.KIND_BITS].full_name
            message = f"sets the state of {name} again, which runs what was set before"
            self._note("pickle-unknown-state", message, offset, key=f"{name} again")
        return self.recalled(target)

    def _complete_dtype(self, machine: State, use: Use, target: int, offset: int) -> None:
        assert use.dtype is not None
        dtype, use.dtype = use.dtype, None
        if target & op.KIND_MASK != op.USED:
            try:
                use.dtype = dtype_with_state(dtype, replay(machine, use.begun, offset, self.lookup))
            except ContradictoryType as error:
                self._note("pickle-unknown-state", f"sets a state of numpy.dtype in which {error}", offset, use)
            except Unclear:
                pass  # only an array between the opcodes needs to know

    def _array(self, machine: State, use: Use, target: int, offset: int) -> int:
        """A joblib array: its bytes come next, and the stream goes on behind them."""
        begun = 0 if self._in_array or target & op.KIND_MASK == op.USED else use.begun
        try:
            machine.resume_at(follow_array(self, machine, begun, offset))
        except Unclear as error:
            self._note("joblib-odd-array", f"an array is not written as joblib writes it: {error}", offset)
            raise BrokenStreamError("what follows an array inside the stream cannot be followed") from None
        return target >> op.KIND_BITS << op.KIND_BITS | op.USED

    # what the search for arrays asks

    def lookup(self, tag: int) -> Name | Dtype | None:
        """What a recalled tag stands for."""
        kind = tag & op.KIND_MASK
        if kind == op.GLOBAL:
            use = self._uses[tag >> op.KIND_BITS]
            return Name(use.module, use.name)
        return self._uses[tag >> op.KIND_BITS].dtype if kind in _OBJECTS else None

    def subclass(self, name: Name) -> None:
        """An array's class. numpy.memmap may stand there, where nothing calls it."""
        number = self._numbers.get((name.module, name.name))
        if number is not None:
            self._uses[number].as_subclass += 1

    def apart(self) -> "Judge":
        """A judge for a pickle that lies inside this one."""
        return Judge(self._policy, self._limits, in_array=True)

    def inside(self, judge: "Judge") -> None:
        """Take over what the pickle inside an array does."""
        self._inner.append((judge, False))
        self.nested.extend(judge.nested)
        self.carried.extend(judge.carried[: _MAX_CARRIED - len(self.carried)])
        self.plausible_imports += judge.plausible_imports
        self.importable += judge.importable
        self.calls += judge.calls
        self.dangerous |= judge.dangerous

    def besides(self, judge: "Judge") -> None:
        """Take over what another reader would run, as far as it is dangerous."""
        self._inner.append((judge, True))
        self.dangerous = True

    def filled(self, target: int, *, use: str, offset: int) -> None:
        if use == "append" and target & op.KIND_MASK == op.USED:
            use = "append later"  # its method may have been replaced by its state
        self._changed(target, use, "puts items into", offset, None)

    def recalled(self, tag: int) -> int:
        """A tag that comes from the memo or is doubled."""
        kind, number = tag & op.KIND_MASK, tag >> op.KIND_BITS
        if kind == op.GLOBAL:
            self._uses[number].pushed += 1
        return number << op.KIND_BITS | op.USED if kind in _OBJECTS else tag

    def _changed(self, target: int, use: str, verb: str, offset: int, items: list[int] | None) -> None:
        kind = target & op.KIND_MASK
        if kind == op.GLOBAL:
            changed = self._uses[target >> op.KIND_BITS]
            changed.acted = self.dangerous = True
            message = f"{verb} {changed.full_name} itself"
            self._note("pickle-object-overwrite", message, offset, changed)
        elif kind == op.UNRESOLVED:
            self._note("pickle-object-overwrite", f"{verb} something that cannot be resolved", offset)
        elif kind == op.LIST and use == "items":
            self._note("pickle-unknown-state", "replaces items of a list, which no pickler does", offset)
        elif kind == op.PERSISTENT:
            self._note("pickle-unknown-state", f"{verb} an object outside the file", offset)
        elif kind in _OBJECTS:
            changed = self._uses[target >> op.KIND_BITS]
            self._check_items(items, offset, changed)
            changed.ways.add(use)
            if changed.entry.kind == "allowed" and use not in changed.entry.uses:
                self._note("pickle-unknown-state", f"{verb} {changed.full_name}", offset, changed, how=use)
            called = self._pending.get(("pickle-unknown-call", changed.full_name))
            if called is not None:
                called.uses.add(use)

    @property
    def refers_to_danger(self) -> bool:
        """Whether anything imported could harm the machine, used or not."""
        return any(use.entry.kind in _DANGEROUS_KINDS and use.pushed > use.as_subclass for use in self._uses) or any(
            judge.refers_to_danger for judge, _ in self._inner
        )

    # what the checks of arguments ask

    def use_of(self, tag: int) -> Use | None:
        """The global behind a tag."""
        return self._uses[tag >> op.KIND_BITS] if tag & op.KIND_MASK == op.GLOBAL else None

    def made_of(self, tag: int) -> Use | None:
        """The global whose call or class made an object."""
        return self._uses[tag >> op.KIND_BITS] if tag & op.KIND_MASK in _OBJECTS else None

    @property
    def codecs(self) -> set[str]:
        return self._policy.codecs

    @property
    def attributes(self) -> set[str]:
        return self._policy.attributes

    def finish(self, source: Source, end: int) -> None:
        """Called behind the last opcode: look at what only the whole stream can tell."""
        for message, offset in harmful_names(source, end, list(self.all_uses())):
            self._note("pickle-unknown-state", message, offset, key=message)

    def all_uses(self) -> Iterator[Use]:
        yield from self._uses
        for judge, _ in self._inner:
            yield from judge.all_uses()


def _is_array(entry: Entry, name: str) -> bool:
    return entry.framework == "numpy" and name in ARRAY_CLASSES


_MAX_CARRIED = 64
_STORAGE_FIELDS = frozenset({5, 6})
"""Of the persistent id of a storage: the word, class, key, device and size, in old files also a view."""
_OBJECTS = frozenset({op.RESULT, op.INSTANCE, op.USED})
_CALLABLES = _OBJECTS | {op.GLOBAL, op.PERSISTENT, op.UNRESOLVED}
"""What may be called; at anything else a loader stops, so it is no sign of a pickle."""
