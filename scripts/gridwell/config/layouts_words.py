"""What people write in layouts: units, roles, titles of columns, names of vehicles."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import get_args

from gridwell.config.models import LayoutRow, SpotRole, Unit

UNITS: tuple[str, ...] = get_args(Unit)
MOLAR = {"M": 0, "mM": -3, "uM": -6, "nM": -9, "pM": -12}
"""Molar units, as powers of ten of a mole per litre."""

Scaled = tuple[str, int]
"""A unit of `UNITS`, and the power of ten that brings a number to it."""

_PREFIXES = {"": "M", "m": "mM", "u": "uM", "n": "nM", "p": "pM"}
_WORDS = {"": "", "milli": "m", "micro": "u", "nano": "n", "pico": "p", "femto": "f"}
_MASS = {"g": 6, "mg": 3, "ug": 0, "mcg": 0, "ng": -3, "pg": -6}  # of a microgram
_VOLUME = {"l": -3, "ml": 0, "ul": 3}  # parts of a millilitre
_PERCENT = {"%", "percent", "pct", "%v/v", "%vol/vol", "v/v%", "vol%", "vol.%", "%vol"}
_VOLUMES_NL = {
    name: Fraction(10) ** power
    for name, power in (("l", 9), ("ml", 6), ("ul", 3), ("nl", 0), ("pl", -3))
}
_QUANTITY = re.compile(r"^\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([^\s0-9.,+-].*?)\s*$")
_AGENT_AND_DOSE = re.compile(
    r"^\s*(.*?[^\s,;@_])[\s,;@_]+([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([^\s0-9.,+-].*?)\s*$"
)
_NUMBER = re.compile(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")


def convert_molar(dose: float, unit: str, target: str) -> float:
    """A molar concentration in another molar unit: (300, nM, uM) -> 0.3, correctly rounded."""
    power = MOLAR[unit] - MOLAR[target]
    return dose * 10.0**power if power >= 0 else dose / 10.0**-power


def read_unit(text: str) -> Scaled | None:
    """A unit in our spelling, or None: ``µM`` -> (uM, 0), ``mg/mL`` -> (ug/mL, 3)."""
    plain = _plain_unit(text)
    if plain in MOLAR:
        return plain, 0
    if plain == "fM":
        return "pM", -3
    lower = plain.lower().replace("(", "").replace(")", "").rstrip(".")
    if lower in _PERCENT:
        return "%", 0
    lower = re.sub(r"^(.+?)([mu]?l)-1$", r"\1/\2", lower)
    lower = lower.replace("per", "/", 1) if "percent" not in lower else lower
    lower = re.sub(r"lit(er|re)s?$", "l", lower)
    lower = re.sub(r"moles?(?=/)", "mol", lower)
    molar = re.fullmatch(r"([munpf]?)mol/l", lower)
    if molar:
        return _molar(molar[1])
    for word, letter in _WORDS.items():
        if lower in (f"{word}molar", f"{letter}molar"):
            return _molar(letter)
    mass = re.fullmatch(r"(mcg|[munp]?g)/([mu]?l)", lower)
    return ("ug/mL", _MASS[mass[1]] + _VOLUME[mass[2]]) if mass else None


def _plain_unit(text: str) -> str:
    plain = text.replace("\u00b5", "u").replace("\u03bc", "u").replace("\u2212", "-")
    plain = plain.replace("\u207b", "-").replace("\u00b9", "1")
    return re.sub(r"[\s_^·*\u22c5]", "", plain)


def _molar(prefix: str) -> Scaled:
    return ("pM", -3) if prefix == "f" else (_PREFIXES[prefix], 0)


def scaled(number: str, power: int) -> str:
    """A number as text times a power of ten, exactly; what is no number stays as it is."""
    if not power:
        return number
    try:
        return str(Decimal(number).scaleb(power))
    except InvalidOperation:
        return number


def read_number(text: str) -> Fraction | None:
    """A number with a decimal point, exactly; None where it is none."""
    plain = text.replace("\u2212", "-").strip()
    return Fraction(Decimal(plain)) if _NUMBER.match(plain) else None


def split_quantity(text: str) -> tuple[str, str] | None:
    """Number and unit of ``10 uM``, or None; the unit may be any word."""
    match = _QUANTITY.match(text)
    return (match[1], match[2]) if match else None


def split_agent(text: str) -> tuple[str, str, str] | None:
    """Name, dose and unit of ``doxorubicin 10 uM``, or None."""
    match = _AGENT_AND_DOSE.match(text)
    return (match[1], match[2], match[3]) if match and read_unit(match[3]) else None


def read_volume(text: str) -> Fraction | None:
    """A volume such as ``50 uL`` in nanolitres, above 0; None where it is none."""
    parts = split_quantity(text)
    number = read_number(parts[0]) if parts else None
    unit = volume_unit(parts[1]) if parts else None
    return number * unit if number and unit else None


def volume_unit(text: str) -> Fraction | None:
    """A unit of volume in nanolitres: ``µL`` -> 1000."""
    plain = _plain_unit(text).lower().rstrip(".")
    plain = plain.replace("microlit", "ulit").replace("nanolit", "nlit").replace("millilit", "mlit")
    plain = re.sub(r"lit(er|re)s?$", "l", plain)
    return _VOLUMES_NL.get(plain)


_ROLES = {
    SpotRole.SAMPLE: "sample samples trt treated treatment treatments test drug compound cmpd "
    "experiment experimental",
    SpotRole.NEG_CTRL: "neg_ctrl neg negative negcon neg_con neg_control negative_control "
    "negative_ctrl negcontrol negctrl negative_controls nc dmso dmso_control vehicle "
    "vehicle_control veh solvent solvent_control untreated untreated_control mock no_treatment "
    "no_drug time0_ctrl time0_control time_zero",
    SpotRole.POS_CTRL: "pos_ctrl pos pc positive poscon pos_con pos_control positive_control "
    "positive_ctrl poscontrol posctrl positive_controls poscon_cp poscon_diverse poscon_orf "
    "kill_control killed dead_control",
    SpotRole.BLANK: "blank blanks background no_cells no_cell media_only medium_only cell_free",
    SpotRole.EMPTY: "empty unused not_used",
    SpotRole.CALIBRATION: "calibration calibrator calibrant standard standards std",
    SpotRole.EXCLUDED: "excluded exclude masked failed outlier omit omitted",
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words.split()}
_VEHICLES = frozenset(
    "dmso dmso_control dmso_only dmso_backfill backfill vehicle vehicle_control vehicle_only "  # noqa: SIM905
    "solvent solvent_control water h2o ddh2o pbs".split()
)
_NOTHING = {
    "untreated",
    "untreated_control",
    "no_treatment",
    "no_drug",
    "none",
    "mock",
    "-",
    "\u2013",
}
NOT_THERE = {"na", "n/a", "nan", "-", "\u2013", "."}
"""What people write into a cell that holds no number and no choice."""
_AS_AGENT = {SpotRole.NEG_CTRL, SpotRole.POS_CTRL, SpotRole.BLANK, SpotRole.EMPTY}


def _word(text: str) -> str:
    return re.sub(r"[\s_\-./]+", "_", text.strip().lower()) if len(text) > 1 else text


def read_role(text: str) -> SpotRole | None:
    """The role that a word means, or None where it is not known or may mean several."""
    return _ROLE_OF.get(_word(text))


def role_meant(text: str) -> str | None:
    """The role that a wrong word comes closest to."""
    word = _word(text)
    near = difflib.get_close_matches(word, list(_ROLE_OF), n=1, cutoff=0.7)
    return _ROLE_OF[near[0]].value if near else None


def is_vehicle(agent: str) -> bool:
    """Whether a name in the place of an agent is that of a liquid that agents are dissolved in."""
    return _word(agent) in _VEHICLES


def role_of_agent(agent: str) -> tuple[SpotRole | None, bool]:
    """What a name in the place of an agent says of the spot, where nothing else does.

    Returns
    -------
    role
        None: it is the name of an agent.
    keep
        Whether the name is one of a liquid, a vehicle, and is kept.
    """
    word = _word(agent)
    if word in _VEHICLES:
        return SpotRole.NEG_CTRL, True
    if word in _NOTHING:
        return SpotRole.NEG_CTRL, False
    role = _ROLE_OF.get(word)
    return (role, False) if role in _AS_AGENT else (None, True)


COLUMNS = (
    "spot",
    "row",
    "col",
    *(name for name in LayoutRow.model_fields if name != "spot"),
)
NUMBERED = ("agent", "concentration", "unit")
"""Columns that may be there once for each agent: ``agent 2``, ``concentration 2``."""

_TITLES = {
    "spot": "spot|well|well position|well id|well name|position|spot id|spot name",
    "row": "row|well row|row name|row letter",
    "col": "col|column|well col|well column|column number",
    "agent": "agent|drug|compound|treatment|substance|chemical|inhibitor|molecule|cmpd|"
    "agent name|drug name|compound name|treatment name|compound id|drug id|agent id|broad sample",
    "concentration": "concentration|conc|dose|dosage|final concentration|final conc|"
    "concentration final|agent concentration|drug concentration|compound concentration|"
    "agent conc|drug conc|compound conc|agent dose|drug dose|compound dose",
    "unit": "unit|units|concentration unit|concentration units|conc unit|conc units|dose unit|"
    "dose units|agent unit|drug unit|compound unit|agent units|drug units|compound units",
    "role": "role|control type|well type|well role|spot type|spot role|sample type|type|control|"
    "assay well role|pert type",
    "replicate": "replicate|rep|replica|replicate number|replicate id|technical replicate",
    "value": "value|ph|known value|reference value|ref value|expected value",
    "sample": "sample|sample id|sample name|specimen",
    "plate": "plate|barcode|plate barcode|assay plate barcode|plate id|plate name|"
    "plate map name|destination plate|destination plate name|destination plate barcode",
}
_COLUMN_OF = {title: column for column, titles in _TITLES.items() for title in titles.split("|")}
_DOSE_WORDS = ("concentration", "conc", "dose", "dosage", "agent", "drug", "compound", "unit")
# Which of two titles of one column is taken; of others, one is too many.
_PREFERRED = {
    "agent": ("agent", "broad sample"),
    "role": ("role", "control type", "pert type"),
    "plate": ("barcode", "plate barcode", "assay plate barcode", "plate", "plate map name"),
}


@dataclass(frozen=True)
class Title:
    """What the title of a column, or of a block of a plate grid, means.

    Attributes
    ----------
    column
        One of `COLUMNS`.
    phrase
        The title in plain words, without unit and number.
    number
        Which agent of the spot, from 1.
    unit
        Unit that the title names, or None.
    wrong_unit
        What stands in the place of a unit and is none.
    """

    column: str
    phrase: str
    number: int = 1
    unit: Scaled | None = None
    wrong_unit: str | None = None

    @property
    def key(self) -> str:
        """Name of the column, with the number of the agent from the second on."""
        return self.column if self.number == 1 else f"{self.column} {self.number}"


def read_title(text: str) -> Title | None:
    """What the title of a column means; None where it is not known."""
    plain = re.sub(r"^metadata[_ ]", "", text.strip(), flags=re.IGNORECASE)
    bracket = re.match(r"^(.*?)\s*[(\[{]\s*([^)\]}]*?)\s*[)\]}]\s*([0-9]*)$", plain)
    if bracket:
        title = _numbered(f"{bracket[1]} {bracket[3]}")
        if title is None or title.column != "concentration":
            return title
        unit = read_unit(bracket[2])
        return Title(
            "concentration", title.phrase, title.number, unit, None if unit else bracket[2]
        )
    title = _numbered(plain)
    if title is not None:
        return title
    tokens = re.split(r"[\s_,;]+", plain)
    for first in range(len(tokens)):
        unit = read_unit("".join(tokens[first:]))
        if unit is None:
            continue
        words = [word for word in tokens[:first] if word.lower() != "in"]
        title = _numbered(" ".join(words))
        if title is not None and title.column == "concentration":
            return Title("concentration", title.phrase, title.number, unit)
        if not words and "per" in [token.lower() for token in tokens]:
            return Title("concentration", "concentration", 1, unit)  # mmoles_per_liter
    return None


def read_block_title(text: str) -> Title | None:
    """What the title of a block means: as `read_title`, also ``[Agent]`` or ``Layout: agent``."""
    plain = text.strip(" #=*-<>:")
    candidates = [plain, plain.strip("[]"), plain.rpartition(":")[2]]
    bare = re.sub(r"\b(plate|block|layout|map|names?|values?|of|in)\b", " ", plain, flags=re.I)
    for candidate in [*candidates, " ".join(bare.split())]:
        title = read_title(candidate)
        if title is not None:
            return title
    return None


def _numbered(text: str) -> Title | None:
    phrase = re.sub(r"[\s_\-./#:]+", " ", text.strip().lower()).strip()
    for name in (phrase, phrase.removesuffix("s")):
        if name in _COLUMN_OF:
            return Title(_COLUMN_OF[name], name)
    numbers = re.findall(r"[0-9]+", phrase)
    bare = " ".join(re.sub(r"[0-9]+", " ", phrase).split())
    column = _COLUMN_OF.get(bare)
    if len(numbers) == 1 and column in NUMBERED and 1 <= int(numbers[0]) <= 20:
        return Title(column, bare, int(numbers[0]))
    return None


def rank(title: Title) -> int | None:
    """Place of a title among those of its column that may stand beside each other."""
    if title.phrase == title.column and title.column != "plate":
        return -1
    names = _PREFERRED.get(title.column, ())
    if title.phrase in names:
        return names.index(title.phrase)
    return len(names) if title.column == "plate" else None


def title_meant(text: str) -> str | None:
    """The column that an unknown title was probably meant for."""
    phrase = re.sub(r"[\s_\-./#:]+", " ", text.strip().lower()).strip()
    words = [title for title in _COLUMN_OF if len(title) > 2]
    near = difflib.get_close_matches(phrase, words, n=1, cutoff=0.8)
    if not near:  # a word of it, as in log10_conc or konzentration_uM
        tokens = [token for token in re.split(r"[^a-z]+", phrase) if len(token) > 3]
        near = [
            word
            for token in tokens
            for word in difflib.get_close_matches(token, _DOSE_WORDS, n=1, cutoff=0.8)
        ]
    return _COLUMN_OF[near[0]] if near else None
