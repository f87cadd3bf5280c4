"""Layouts from the pick lists of acoustic dispensers: what was transferred into which well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from gridwell.config.errors import Problem
from gridwell.config.explain import explain_comma, short
from gridwell.config.layouts_rows import Entry, Source, number_of
from gridwell.config.layouts_words import (
    Scaled,
    read_number,
    read_role,
    read_unit,
    role_of_agent,
    split_quantity,
    volume_unit,
)
from gridwell.config.spots import parse_spot, spot_name
from gridwell.config.tables import Records

_LINES_BEFORE = 30  # a report of transfers has a few lines above its table
# Titles in plain words, the one that is taken first.
_TITLES = {
    "plate": ("destination plate barcode", "destination plate name", "destination plate"),
    "spot": ("destination well",),
    "transfer": ("actual volume", "transfer volume", "volume transferred", "volume"),
    "agent": ("sample name", "compound", "compound name", "drug", "agent", "reagent", "sample id"),
    "stock": (
        "source concentration",
        "stock concentration",
        "sample concentration",
        "stock",
        "concentration",
        "source conc",
        "stock conc",
    ),
    "unit": (
        "source concentration units",
        "source concentration unit",
        "stock concentration unit",
        "stock concentration units",
        "concentration units",
        "concentration unit",
    ),
    "total": (
        "destination volume",
        "destination well volume",
        "final volume",
        "total volume",
        "assay volume",
        "well volume",
    ),
    "role": ("role", "control type", "well type", "type", "sample group"),
    "source": ("source well",),
}
_SAY_VOLUME = (
    "Say the volume of a spot with all transfers in it: a line '# volume: 50 uL' in the file, "
    "--volume 50uL for gridwell layout, or a column 'Destination Volume (uL)'."
)


@dataclass(frozen=True)
class Facts:
    """What a file or its user says of all its rows.

    Attributes
    ----------
    unit
        Unit of the doses that have none.
    volume
        Volume of a spot, with all that was transferred into it, in nanolitres.
    stock
        Concentration of the sources, in the unit beside it.
    """

    unit: Scaled | None = None
    volume: Fraction | None = None
    stock: tuple[Fraction, str] | None = None


@dataclass
class _Well:
    """What went into one destination well."""

    line: int
    plate: str
    spot: str
    # By agent: line, sum of stock x volume, unit.
    agents: dict[str, tuple[int, Fraction, str]] = field(default_factory=dict)
    vehicle: str | None = None
    role: str | None = None
    total: Fraction | None = None
    filled: Fraction = Fraction(0)


def find_transfers(records: Records) -> int | None:
    """Index of the header of a table of transfers, or None."""
    for index, (_, cells) in enumerate(records.rows[:_LINES_BEFORE]):
        phrases = {_phrase(cell)[0] for cell in cells}
        source = {"source well", "transfer volume", "actual volume", "source plate name"}
        if "destination well" in phrases and phrases & source:
            return index
    return None


def read_transfers(records: Records, name: str, facts: Facts) -> Source:
    """Read transfers; the dose is source concentration x transferred / volume of the spot.

    Transfers of an agent into a well add up. A vehicle (DMSO) fills up what has an agent, and
    makes a negative control of what has none. Volumes of transfers are in nanolitres unless
    their title says another unit, as such instruments write them.
    """
    at = find_transfers(records) or 0
    line, header = records.rows[at]
    source = Source(kind="pick list of a dispenser, one row for each transfer", line=line)
    source.columns = {"spot", "agent", "concentration", "unit", "role", "plate"}
    places, wrong = _places(header, name, line)
    source.problems += wrong
    reader = _Transfers(name, line, header, places, facts, source)
    if not wrong:
        for row_line, cells in records.rows[at + 1 :]:
            if cells[0].startswith("[") or cells[0].lower() == "instrument name":
                break
            reader.add(row_line, [*cells, *[""] * (len(header) - len(cells))])
        source.entries = reader.entries()
        if not reader.wells and not source.problems:
            source.problems.append(
                Problem(name, "has a header but no transfers", "Add them.", row=line + 1)
            )
    for row_line, cells in records.rows[:at]:
        if cells[0].strip("[] ").lower() == "exceptions":
            source.problems.append(
                Problem(
                    name,
                    "lists transfers that failed",
                    "Delete this part, and give the wells that it names the role excluded.",
                    row=row_line,
                )
            )
    return source


def _phrase(text: str) -> tuple[str, str | None]:
    """A title in plain words, and the unit in its brackets or at its end."""
    match = re.match(r"^(.*?)\s*[(\[]\s*([^)\]]*)\s*[)\]]\s*$", text)
    bare, unit = (match[1], match[2]) if match else (text, None)
    words = re.sub(r"[\s_\-.]+", " ", bare.strip().lower()).split(" ")
    if unit is None and len(words) > 1:
        last = re.split(r"[\s_]+", bare.strip())[-1]
        if read_unit(last) or volume_unit(last):
            words, unit = words[:-1], last
    return " ".join(words), unit


def _places(
    header: Sequence[str], name: str, line: int
) -> tuple[dict[str, tuple[int, str | None]], list[Problem]]:
    """Index and unit of each column that is used, and what is wrong with the header."""
    phrases = [_phrase(cell) for cell in header]
    names = [phrase for phrase, _ in phrases]
    places: dict[str, tuple[int, str | None]] = {}
    problems = []
    for column, titles in _TITLES.items():
        for title in titles:
            if title in names:
                index = names.index(title)
                places[column] = (index, phrases[index][1])
                break
    for column, reason, remedy in (
        ("transfer", "Transfer Volume", "Add the transferred volume of each row, in nL."),
        (
            "agent",
            "Sample Name",
            "Add a column Sample Name (or Compound, Drug) that says what each source well holds.",
        ),
    ):
        if column not in places:
            problems.append(Problem(name, "is missing from the header", remedy, line, reason))
    for column in ("transfer", "total"):
        index, unit = places.get(column, (0, None))
        if unit is not None and volume_unit(unit) is None:
            problems.append(
                Problem(
                    name,
                    "is no known unit of volume",
                    "Write nL, uL or mL.",
                    line,
                    header[index],
                    unit,
                )
            )
        if column == "total" and column in places and unit is None:
            problems.append(
                Problem(
                    name,
                    "does not say its unit",
                    "Write it as Destination Volume (uL).",
                    line,
                    header[index],
                )
            )
    index, unit = places.get("stock", (0, None))
    if unit is not None and read_unit(unit) is None:
        problems.append(
            Problem(
                name,
                "is no known unit of concentrations",
                "Write it as Source Concentration (mM).",
                line,
                header[index],
                unit,
            )
        )
    return places, problems


@dataclass
class _Transfers:
    """Adds transfers up, well by well."""

    name: str
    line: int
    header: Sequence[str]
    places: dict[str, tuple[int, str | None]]
    facts: Facts
    source: Source
    wells: dict[tuple[str, str], _Well] = field(default_factory=dict)
    repeated: int = 0

    def add(self, line: int, cells: Sequence[str]) -> None:
        """Add one row."""
        before = len(self.source.problems)
        try:
            spot = spot_name(*parse_spot(self._text("spot", cells)))
        except ValueError:
            self._wrong(
                line,
                "spot",
                "is no spot",
                "Write the letters of the row and the number of the column, as C7.",
                cells,
            )
            return
        volume = self._number("transfer", line, cells, Fraction(1))
        agent = self._text("agent", cells)
        if not agent:
            remedy = "Write what was transferred; DMSO for the vehicle."
            self._wrong(line, "agent", "is empty", remedy, cells)
        role = self._role(line, cells)
        total = self._number("total", line, cells, None) if "total" in self.places else None
        if len(self.source.problems) > before or volume is None:
            return
        plate = self._text("plate", cells)
        well = self.wells.setdefault((plate, spot), _Well(line, plate, spot))
        if role and well.role not in (None, role):
            self._wrong(
                line,
                "role",
                f"spot {spot} has another role above: {well.role}",
                "Give all transfers into a spot the same role.",
                cells,
            )
        well.role = role or well.role
        if total is not None and well.total not in (None, total):
            self._wrong(
                line,
                "total",
                f"spot {spot} has another volume above",
                "Give all transfers into a spot the same volume.",
                cells,
            )
        well.total = total or well.total
        well.filled += volume
        room = well.total or self.facts.volume
        if room is not None and well.filled > room >= well.filled - volume:
            self._wrong(
                line,
                "transfer",
                f"more is transferred into spot {spot} than the {_volume(room)} that it holds",
                "Correct the volume of the spot, which counts all transfers in it, or the unit.",
                cells,
            )
        self._add(well, line, agent, volume, cells)

    def _add(
        self, well: _Well, line: int, agent: str, volume: Fraction, cells: Sequence[str]
    ) -> None:
        kind, _ = role_of_agent(agent)
        if kind is not None:
            well.vehicle = well.vehicle or agent
            if kind.value != "neg_ctrl":
                well.role = well.role or kind.value
            return
        stock = self._stock(line, cells)
        if stock is None:
            return
        amount, unit = stock[0] * volume, stock[1]
        known = well.agents.get(agent)
        if known is None:
            well.agents[agent] = (line, amount, unit)
        elif known[2] != unit:
            self._wrong(
                line,
                "stock",
                f"{agent} is in another unit in row {known[0]}, and cannot be added up",
                "Use one unit for all sources of an agent.",
                cells,
            )
        else:
            self.repeated += 1
            well.agents[agent] = (known[0], known[1] + amount, unit)

    def entries(self) -> list[Entry]:
        """What is in each well, in the order of the file."""
        entries: list[Entry] = []
        without: list[_Well] = []
        for well in self.wells.values():
            cells = {"spot": well.spot} | ({"plate": well.plate} if well.plate else {})
            if well.role:
                cells["role"] = well.role
            if not well.agents:
                if well.vehicle and role_of_agent(well.vehicle)[1]:
                    cells["agent"] = well.vehicle
                entries.append(Entry(well.line, cells | {"role": well.role or "neg_ctrl"}))
                continue
            total = well.total or self.facts.volume
            if total is None:
                without.append(well)
                continue
            for agent, (line, amount, unit) in well.agents.items():
                dose = repr(float(amount / total))
                own = {"agent": agent, "concentration": dose, "unit": unit}
                entries.append(Entry(line, cells | own, None, self._where(line)))
        if without:
            of = "" if len(without) == len(self.wells) else f" for {len(without)} wells"
            self.source.problems.append(
                Problem(
                    self.name,
                    f"does not say how much is in a spot{of}, so that the doses are unknown",
                    _SAY_VOLUME,
                    row=without[0].line if of else self.line,
                )
            )
        self._assume()
        return entries

    def _assume(self) -> None:
        said = self.source.assumed
        if self.places["transfer"][1] is None:
            said.append("transferred volumes are in nL, as dispensers write them")
        if self.facts.volume is not None:
            said.append(f"a spot holds {_volume(self.facts.volume)}, with all transfers in it")
        if self.repeated:
            rows = number_of(self.repeated, "row")
            said.append(f"transfers of one agent into one well are added up, in {rows}")
        wells = list(self.wells.values())
        filled = sum(bool(well.agents and well.vehicle) for well in wells)
        alone = {well.vehicle for well in wells if not well.agents and not well.role}
        if filled:
            spots = number_of(filled, "spot")
            said.append(f"what fills up a spot beside its agent is left out, in {spots}")
        if alone:
            names = ", ".join(sorted(str(name) for name in alone))
            said.append(f"spots with {names} alone are negative controls")

    def _where(self, line: int) -> dict[str, tuple[int, str]]:
        return {
            ours: (line, self.header[self.places[column][0]])
            for ours, column in (("agent", "agent"), ("spot", "spot"), ("concentration", "stock"))
            if column in self.places
        }

    def _text(self, column: str, cells: Sequence[str]) -> str:
        return cells[self.places[column][0]] if column in self.places else ""

    def _number(
        self, column: str, line: int, cells: Sequence[str], default: Fraction | None
    ) -> Fraction | None:
        """A volume in nanolitres, or None and a mistake."""
        index, unit = self.places[column]
        text = cells[index]
        factor = volume_unit(unit) if unit else default
        number = read_number(text)
        if number is None:
            reason, remedy = "is not a number", "Write a number, as 2.5."
            if not text:
                reason = "is empty"
            reason, remedy = explain_comma(text) or (reason, remedy)
            self._wrong(line, column, reason, remedy, cells)
        elif number < 0 or (column == "total" and number == 0):
            self._wrong(line, column, "is too small", "Write a volume above 0.", cells)
        elif factor is not None:
            return number * factor
        return None

    def _role(self, line: int, cells: Sequence[str]) -> str | None:
        text = self._text("role", cells)
        if not text:
            return None
        role = read_role(text)
        if role is None and _phrase(self.header[self.places["role"][0]])[0] == "sample group":
            return None  # a free text on these instruments
        if role is None:
            self._wrong(
                line,
                "role",
                "is not one of the values known here",
                "One of: sample, neg_ctrl, pos_ctrl, blank, empty, excluded.",
                cells,
            )
        return role.value if role else None

    def _stock(self, line: int, cells: Sequence[str]) -> tuple[Fraction, str] | None:
        """Concentration of a source in our unit, or None and a mistake."""
        if "stock" not in self.places:
            if self.facts.stock is None:
                self._once_without_stock()
            return self.facts.stock
        index, title_unit = self.places["stock"]
        text, unit = cells[index], self._text("unit", cells) or title_unit or ""
        parts = split_quantity(text)
        if parts and not unit:
            text, unit = parts
        if not text and self.facts.stock is not None:
            return self.facts.stock
        number = read_number(text)
        scale = read_unit(unit) if unit else self.facts.unit
        if number is None or number < 0:
            reason, remedy = "is not a number", "Write a number, as 10."
            if not text:
                reason, remedy = "is empty", "Write the concentration of the source."
            reason, remedy = explain_comma(text) or (reason, remedy)
            self._wrong(line, "stock", reason, remedy, cells)
            return None
        if scale is None:
            reason = "is no known unit" if unit else "has no unit"
            self._wrong(
                line,
                "stock",
                reason,
                "Write it into the title, as Source Concentration "
                "(mM), or say it once for the file: # unit: mM.",
                cells,
            )
            return None
        return in_common_unit(number, scale)

    def _once_without_stock(self) -> None:
        problem = Problem(
            self.name,
            "is missing from the header",
            "Add the column, as Source Concentration (mM), or say it once for all sources: a line "
            "'# stock: 10 mM' in the file, --stock 10mM for gridwell layout.",
            self.line,
            "Source Concentration",
        )
        if problem not in self.source.problems:
            self.source.problems.append(problem)

    def _wrong(
        self, line: int, column: str, reason: str, remedy: str, cells: Sequence[str]
    ) -> None:
        index = self.places[column][0]
        value = short(cells[index]) or None
        title = self.header[index]
        self.source.problems.append(Problem(self.name, reason, remedy, line, title, value))


def _volume(nanolitres: Fraction) -> str:
    small = nanolitres < 1000
    return f"{float(nanolitres if small else nanolitres / 1000):g} {'nL' if small else 'uL'}"


def in_common_unit(number: Fraction, scale: Scaled) -> tuple[Fraction, str]:
    """A concentration in uM, ug/mL or %: (10, mM) -> (10000, uM)."""
    unit, power = scale
    molar = {"M": 6, "mM": 3, "uM": 0, "nM": -3, "pM": -6}
    if unit in molar:
        power, unit = power + molar[unit], "uM"
    return number * Fraction(10) ** power, unit
