"""Every column of every table that gridwell writes: its name, place and meaning.

The one owner of the column documentation: writers, reports and ``docs/columns.md`` share it.
A name such as ``n_<channel>`` stands for one column for each channel it applies to.
"""

from __future__ import annotations

_SPOT = {
    "slide": "Slide, as in slides.tsv.",
    "spot": "Spot: letters of its row and number of its column, as C7.",
    "row": "Row of the grid, in letters: A to Z, AA and on.",
    "col": "Column of the grid, from 1.",
    "x": "Centre of the spot, in full-resolution slide pixels to the right; the centre of the "
    "top-left pixel is 0.",
    "y": "Centre of the spot, in full-resolution slide pixels downwards.",
}

_TIME = "Hours after treatment at which the slides were imaged, as in slides.tsv; may be empty."

_SPOT_FLAGS = {
    "edge_cut": "the spot leaves the slide, part of it was not scanned",
    "empty": "no cells or objects were found in the spot",
    "failed": "the spot could not be measured, the log says why",
    "few_cells": "too few cells for a reliable share",
    "merged_bodies": "many nuclei lie in bodies that hold several cells, which were not parted",
    "not_found": "the grid says a spot is here, the image does not show one",
    "out_of_focus": "the image is blurred, cells may be missed",
    "saturated": "pixels are at the camera's limit, intensities are too low",
    "undecided": "no state could be told: a stain was not segmented, and its intensity shows one "
    "class of cells only",
    "unregistered": "the shift between the channels could not be estimated",
}
_GRID_FLAGS = {
    "not_found": _SPOT_FLAGS["not_found"],
    "outside": "the position lies beyond the image",
    "merged": "the spot touches a neighbour",
    "doubtful": "the image neither shows a spot here nor clearly none: the score is between 0.35 "
    "and 0.65 of that of a typical (median) spot of the slide",
}
_COLOUR_FLAGS = {
    "colourless": "a gray has no hue",
    "out_of_range": "beyond the range of the calibration",
    "off_curve": "the colour is unlike that of any level or of what lies between them",
    "no_white": "no light background to refer to; the colour is as recorded",
    "white_saturated": "the background is at the scanner's limit, so neither white nor uneven "
    "light is known",
    "calibration_failed": "the calibration spots do not allow a calibration; calibration.json says "
    "why",
    "calibration_not_monotone": "neighbouring levels of the calibration were pooled",
}
_SCREEN_FLAGS = {"combination": "several agents at once; no part of any curve"}
_CURVE_FLAGS = {
    "few_doses": "too few doses for a curve",
    "few_spots": "too few spots for a curve",
    "incomplete": "the doses tested show less than 80 % of the effect; the EC50 leans on a level "
    "that nobody saw",
    "extrapolated": "the middle of the curve lies outside the doses tested; where it is told (e), "
    "it is a guess",
    "open_interval": "the interval of the EC50 leaves the doses tested; the EC50 may lie outside",
    "slope_at_bound": "the slope is as steep or as shallow as a fit may be",
    "asymmetry_at_bound": "the curve is as lopsided as a fit may be",
    "overdispersed": "counts without replicates scatter more than counting alone explains; the "
    "interval is widened",
    "lack_of_fit": "replicates agree with each other better than with the curve",
    "several_samples": "several samples share this curve",
    "no_controls": "no negative controls to compare with",
    "no_pos_controls": "no positive controls to compare with",
    "one_control": "a single control",
    "few_controls": "few controls",
    "controls_alike": "positive and negative controls are alike",
    "layout_off_grid": "the layout names spots that the grid does not have",
    "gradient_corrected": "a gradient over a slide was taken off, for its controls prove it",
    "slides_disagree": "slides differ by more than the scatter of their spots; the intervals of "
    "EC50 and IC50 are widened by that",
}
_AGENT_FLAGS = {
    "censored": "groups whose EC50 lies outside the doses tested are not in the pooled one",
    "heterogeneous": "groups differ much more than their intervals say (I2 above 75 %)",
}
_GROWTH_FLAGS = {
    "no_growth": "the controls did not grow, so nothing can be said of growth",
    "slow_growth": "the controls doubled less than half a time; growth rates are uncertain",
}
_COMBINATION_FLAGS = {
    "no_single": "an agent was not tested alone at this dose",
    "no_percent": "without controls nothing can be expected of a combination",
}
_DOSE_FLAGS = {
    "no_effect": "a flat line would do as well as the curve that was asked for",
    "few_points": "fewer than three degrees of freedom; the interval says little",
    "no_cells": "rows with a total of 0 were left out",
    "control_response": "controls respond, though the model has it that none can",
}

FLAGS: dict[str, str] = _SPOT_FLAGS | _GRID_FLAGS | _COLOUR_FLAGS | _SCREEN_FLAGS | _CURVE_FLAGS
FLAGS |= _AGENT_FLAGS | _GROWTH_FLAGS | _COMBINATION_FLAGS | _DOSE_FLAGS
"""What each flag says."""

SPOT_FLAGS = tuple(_SPOT_FLAGS)
"""Flags that a spot of any assay may have."""


def _flags(row: str, *names: str) -> str:
    """Describe a column of flags."""
    return (
        f"What to know before trusting the {row}, as words sorted and joined by semicolons; "
        f"empty: nothing. One or more of {', '.join(names)}."
    )


_FEATURES = {
    "spot": "Spot that the object lies in.",
    "label": "Number of the object in labels/<channel>.zarr, from 1 in each spot.",
    "x": "Centroid, in full-resolution slide pixels to the right.",
    "y": "Centroid, in full-resolution slide pixels downwards.",
    "area": "Area, in square pixels.",
    "eccentricity": "Eccentricity of the ellipse with the same second moments: 0 for a disc, "
    "towards 1 for a line.",
    "major_axis": "Long axis of that ellipse, in pixels.",
    "minor_axis": "Short axis of that ellipse, in pixels.",
    "orientation": "Direction of the long axis, in degrees clockwise on the screen from the "
    "x axis of the slide, above -90 up to 90.",
    "solidity": "Area divided by the area of the convex hull.",
    "mean": "Mean intensity in the object, as recorded (not corrected).",
    "median": "Median intensity in the object, as recorded.",
    "max": "Largest intensity in the object, as recorded.",
    "background": "Median intensity in a ring around the object (segment.ring pixels wide), other "
    "objects left out; where there is no ring, of all that is no object in the spot.",
    "edge": "True where the object touches the rim of the crop or of the spot's outline.",
}

_EVALUATED = {
    "what": "Of what the row tells: an image, or pooled (all images as one), pooled_low and "
    "pooled_high (95 % interval, images drawn with replacement).",
    "image": "Name of the image, as that of its file; empty where the row is about all.",
}
_UNLABELLED = "Share of the pixels that nobody judged; they count for nothing."

COLUMNS: dict[str, dict[str, str]] = {
    "grid.csv": {key: value for key, value in _SPOT.items() if key != "slide"}
    | {
        "x": _SPOT["x"] + " Of a spot that was seen, the measured centre where it can be trusted; "
        "of others the lattice's.",
        "y": "The same, downwards.",
        "width": "Width of the spot, in pixels.",
        "height": "Height of the spot, in pixels.",
        "found": "True where a spot was seen; False where only the grid says so.",
        "score": "How well the image supports a spot here, from 0 to 1.",
        "flags": _flags("position", *_GRID_FLAGS),
    },
    "instances/<channel>.parquet": _FEATURES
    | {
        "mean_<channel>": "Mean intensity of another channel under the object.",
        "ring_<channel>": "Intensity of another channel in a ring around the object "
        "(segment.ring pixels wide), other objects left out.",
    },
    "cells.parquet": {
        "spot": "Spot that the cell lies in.",
        "cell": "Number of the row in its spot, from 1: nuclei from the top, then orphans.",
        "state": "live (nucleus, live stain, no dead stain), dying (all three), dead (nucleus and "
        "dead stain), inactive (nucleus alone), orphan_live or orphan_dead (a stained body "
        "without a nucleus); empty where the spot could not be fused.",
        "p_live": "Probability that the cell holds the live stain, from 0 to 1; empty for orphans.",
        "p_dead": "Probability that the cell holds the dead stain, from 0 to 1; empty for orphans.",
        "ambiguous": "True where p_live or p_dead is near neither 0 nor 1 (fuse.ambiguous).",
        "nuclei_label": "Label of the nucleus; empty for orphans.",
        "live_label": "Label of the matched live body; empty where there is none.",
        "dead_label": "Label of the matched dead body; empty where there is none.",
        "distance_live": "Distance from the nucleus to the live body after registration, in "
        "pixels.",
        "distance_dead": "Distance from the nucleus to the dead body after registration, in "
        "pixels.",
        "x": "Position of the nucleus, or of the orphan, in pixels of the slide's nuclei channel "
        "to the right.",
        "y": "The same, downwards.",
        "live_shared": "Label of a live body that holds several nuclei and has another one as its "
        "own; empty where there is none.",
        "dead_shared": "The same of a dead body.",
        "intensity_live": "Live stain under the nucleus above the background: lower third of its "
        "pixels outside the bodies of others, in grey values.",
        "intensity_dead": "The same of the dead stain, less what of the live stain shines through "
        "(fuse.method posterior).",
        "nuclei_<feature>": "Features of the nucleus, as in instances/<channel>.parquet.",
        "live_<feature>": "Features of the matched live body.",
        "dead_<feature>": "Features of the matched dead body.",
    },
    "spots.csv (viability)": _SPOT
    | {
        "n_nuclei": "Nuclei in the spot.",
        "n_live": "Cells with live stain and without dead stain.",
        "n_dying": "Cells with both stains.",
        "n_dead": "Cells with dead stain and without live stain.",
        "n_inactive": "Nuclei with neither stain.",
        "n_orphan_live": "Live bodies without a nucleus.",
        "n_orphan_dead": "Dead bodies without a nucleus.",
        "viability": "n_live divided by n_nuclei, the published definition; empty where there are "
        "no nuclei.",
        "viability_low": "Lower end of the 95 % interval of viability.",
        "viability_high": "Upper end of the 95 % interval of viability.",
        "viability_stained": "n_live divided by n_live + n_dying + n_dead, which missed or extra "
        "nuclei do not bias; empty where no nucleus is stained.",
        "flags": _flags("spot", *SPOT_FLAGS),
        "viability_stained_low": "Lower end of the 95 % interval of viability_stained.",
        "viability_stained_high": "Upper end of the 95 % interval of viability_stained.",
        "n_ambiguous": "Nuclei whose state is in doubt (fuse.ambiguous).",
        "n_merged": "Nuclei that share a live or a dead body with another nucleus.",
        "shift_live_x": "Shift of the live channel against the nuclei in this spot, to the right, "
        "in pixels of the slide.",
        "shift_live_y": "The same, downwards.",
        "shift_live_quality": "Part of the live bodies that meet a nucleus at this shift, beyond "
        "chance: 0 none, 1 all; empty without bodies.",
        "shift_dead_x": "Shift of the dead channel, to the right.",
        "shift_dead_y": "The same, downwards.",
        "shift_dead_quality": "As for the live channel.",
        "sharpness": "Steepness of the outlines of the nuclei, 1/pixel; falls where the image is "
        "out of focus.",
    },
    "spots.csv (objects)": _SPOT
    | {
        "n_<channel>": "Objects of a segmented channel in the spot.",
        "flags": _flags("spot", *SPOT_FLAGS),
    },
    "spots.csv (colorimetry)": _SPOT
    | {
        "red": "Red of the spot's colour relative to white, which is 255; sRGB-encoded.",
        "green": "Green, likewise.",
        "blue": "Blue, likewise.",
        "metric": "Number computed from the colour, by `method`; empty where it has none, as the "
        "hue of a gray.",
        "value": "Metric brought to the scale of the calibration, empty beyond its range; without "
        "a calibration the metric itself.",
        "value_low": "Lower end of the 95 % interval of value, within the calibrated range; wide "
        "enough for levels of the calibration predicted by the others.",
        "value_high": "Upper end of the interval of value.",
        "unit": "Unit of value and its interval; empty: none, or none was told.",
        "method": "Metric that was computed (colour.metric, or what auto chose).",
        "flags": _flags("spot", *SPOT_FLAGS, *_COLOUR_FLAGS),
    },
    "colours.parquet": _SPOT
    | {
        "pixels": "Pixels inside the spot that were looked at.",
        "kept": "Share of them that its colour comes from; the rest is dust, glare or meniscus.",
        "spread": "Robust standard deviation of the kept pixels, in sRGB values 0..255.",
        "saturated": "Share of pixels at full scale in some channel.",
        "linear_red": "Red of the spot in linear light, corrected for uneven light; 1 is white.",
        "linear_green": "Green, likewise.",
        "linear_blue": "Blue, likewise.",
        "background_red": "Red of the ring around the spot, in the same units.",
        "background_green": "Green, likewise.",
        "background_blue": "Blue, likewise.",
        "white_red": "Red of white at the spot, in linear light as recorded; 1 is full scale.",
        "white_green": "Green, likewise.",
        "white_blue": "Blue, likewise.",
        "delta_background": "CIEDE2000 of the spot from the ring around it.",
        "<metric>": "Each metric of colour.metric, as one column; pca, lda and pls only with a "
        "calibration that knows them.",
        "value_<metric>": "Value that the calibration gives by each metric, empty beyond its "
        "range. The one in spots.csv is that of `method`.",
    },
    "screen/spots.csv": {
        "slide": _SPOT["slide"],
        "group": "Group of the slide, as in slides.tsv.",
        "assay": "Assay of the slide.",
    }
    | {key: _SPOT[key] for key in ("spot", "row", "col", "x", "y")}
    | {
        "agent": "Agent in the spot; agents of a combination are joined by +.",
        "concentration": "Dose of the agent; empty for combinations.",
        "unit": "Unit of the dose.",
        "role": "What the spot is for, as in the layout; empty: not in the layout.",
        "replicate": "Label of the replicate, as in the layout.",
        "sample": "Sample in the spot, as in the layout.",
        "metric": "Which number was screened (screen.metric, or the assay's own).",
        "measured": "This number, as measured.",
        "normalised": "This number after screen.normalise.",
        "n": "Cells or objects that it rests on; empty where it rests on pixels.",
        "flags": _flags("spot", *SPOT_FLAGS, *_COLOUR_FLAGS, *_SCREEN_FLAGS),
        "time_h": _TIME,
        "factor": "What the measured number was divided by before it was normalised, to take off "
        "a gradient of the slide; 1: nothing was.",
    },
    "screen/dose_response.csv": {
        "group": "Group of slides, as in slides.tsv.",
        "agent": "Agent.",
        "model": "Curve that was chosen: 4pl (four-parameter logistic) or one of 2pl to 5pl "
        "(docs/dose-response.md), or flat where no effect of the dose shows; empty: none was "
        "fitted.",
        "ec50": "Dose of half the effect that the curve spans; empty where it lies outside the "
        "doses tested.",
        "ec50_low": "Lower end of its interval (screen.interval); empty: below the doses tested.",
        "ec50_high": "Upper end of its interval; empty: above the doses tested.",
        "in_range": "Where the ec50 lies: yes (within the doses tested), <min, >max, or flat.",
        "hill": "Steepness of the curve; positive where the response falls with dose.",
        "top": "Upper level of the curve.",
        "bottom": "Lower level of the curve.",
        "auc": "Mean level of the curve over the logarithm of the doses tested, as a fraction of "
        "the control level.",
        "ic50": "Dose at which half of the negative controls' level is left (percent_inhibition: "
        "of 50 % inhibition); empty where none is.",
        "dss": "Drug sensitivity score, type 2.",
        "n_spots": "Spots with the agent that the curve was fitted to.",
        "n_doses": "Distinct doses among them.",
        "flags": _flags("curve", *_CURVE_FLAGS),
        "unit": "Unit of all doses in the row.",
        "metric": "Which number was screened.",
        "assay": "Assay of the slides.",
        "normalise": "How the number was normalised.",
        "time_h": _TIME,
        "n_slides": "Slides that the spots are on.",
        "sdss": "Selective drug sensitivity score: dss minus the median of the other groups'; "
        "empty with fewer than three groups.",
        "ic50_low": "Lower end of the interval of ic50; empty: not within the doses tested.",
        "ic50_high": "Upper end of the interval of ic50; empty: not within the doses tested.",
        "dss1": "Drug sensitivity score, type 1: the area of activity.",
        "dss3": "Drug sensitivity score, type 3: also counts the share of the doses that are "
        "active.",
        "asymmetry": "Asymmetry f of a 5pl curve; empty for symmetric ones.",
    },
    "fits.csv (gridwell dose)": {
        "model": "Curve that was chosen: 2pl, 3pl, 4pl, 5pl, or flat where no effect of the dose "
        "shows; empty: none was fitted. Before it stand the columns named with --by.",
        "ec50": "Dose of half the effect that the curve spans; empty where it lies outside the "
        "doses of the table.",
        "ec50_low": "Lower end of its interval (--interval); empty: below the doses.",
        "ec50_high": "Upper end of its interval; empty: above the doses.",
        "in_range": "Where the ec50 lies: yes (within the doses), <min, >max, or flat.",
        "hill": "Steepness of the curve; positive where the response falls with dose.",
        "top": "Upper level of the curve, in the unit of the response; of counts, a fraction.",
        "bottom": "Lower level.",
        "auc": "Mean level of the curve over the logarithm of the doses.",
        "ic50": "Dose at which half of the level without the agent is left; of counts that rise "
        "with dose, at which half of the rest is reached; empty where none is within the doses.",
        "ic50_low": "Lower end of its interval; empty: not within the doses.",
        "ic50_high": "Upper end; empty: not within the doses.",
        "n": "Rows that the curve was fitted to.",
        "n_doses": "Distinct doses above 0 among them.",
        "flags": _flags("row", *_CURVE_FLAGS, *_DOSE_FLAGS),
        "b": "Slope as R's drc has it: response = c + (d - c) / (1 + exp(b (log dose - log e)))^f.",
        "c": "Lower level.",
        "d": "Upper level.",
        "e": "Place of the curve; the ec50 where f is 1. Given also outside the doses.",
        "f": "Asymmetry; 1 for all but 5pl.",
        "b_se": "Standard error of b; empty where it is fixed.",
        "c_se": "Standard error of c.",
        "d_se": "Standard error of d.",
        "e_se": "Standard error of e.",
        "f_se": "Standard error of f.",
        "rss": "Residual sum of squares of the response; of counts, of their fractions.",
        "log_likelihood": "Natural logarithm of the likelihood: normal, or of counts "
        "beta-binomial.",
        "df": "Degrees of freedom that are left.",
        "rho": "How much counts at one dose resemble each other beyond chance: correlation "
        "within a row; 0: binomial; empty without --total.",
        "p_slope": "Chance that a flat line gives data that fit the curve so much better.",
        "p_lack_of_fit": "Chance that data of this curve lie so far from it: by their "
        "replicates, or of counts without replicates by counting alone.",
    },
    "screen/curves.csv": {
        "group": "Group of slides, as in slides.tsv.",
        "agent": "Agent.",
        "dose": "Dose, evenly spaced on a logarithmic axis.",
        "fit": "The fitted curve.",
        "low": "Lower edge of its band (screen.interval).",
        "high": "Upper edge of its band.",
        "unit": "Unit of the dose.",
        "metric": "Which number was screened.",
        "assay": "Assay of the slides.",
        "time_h": _TIME,
    },
    "screen/agents.csv": {
        "agent": "Agent.",
        "n_groups": "Groups in which it was tested.",
        "n_fitted": "Groups with a fit.",
        "n_in_range": "Groups whose EC50 lies within the doses tested: those that are pooled.",
        "n_below": "Groups whose EC50 lies below the doses tested.",
        "n_above": "Groups whose EC50 lies above the doses tested.",
        "n_flat": "Groups in which no effect of the dose shows.",
        "ec50": "EC50 of a typical group: mean of the groups' on the logarithmic scale as random "
        "effects; empty with fewer than two groups in range.",
        "ec50_low": "Lower end of its interval (screen.interval); empty where it spans more than "
        "four decades, as that of two groups that differ.",
        "ec50_high": "Upper end of its interval.",
        "i2": "Share of the variance of the EC50s that is between groups (I2), in percent.",
        "auc_median": "Median of the groups' auc.",
        "auc_min": "Least auc of a group.",
        "auc_max": "Greatest auc of a group.",
        "dss_median": "Median of the groups' drug sensitivity scores.",
        "dss_min": "Least score of a group.",
        "dss_max": "Greatest score of a group.",
        "sdss_max": "Greatest selective score of a group.",
        "sdss_group": "The group that has it.",
        "flags": _flags("row", *_AGENT_FLAGS),
        "unit": "Unit of the dose.",
        "metric": "Which number was screened.",
        "assay": "Assay of the slides.",
        "normalise": "How the number was normalised.",
        "time_h": _TIME,
    },
    "screen/growth.csv": {
        "group": "Group of slides, as in slides.tsv.",
        "agent": "Agent.",
        "time_h": _TIME,
        "model": "Curve of the growth rates that was chosen: sigmoid, or flat; empty: none.",
        "gr50": "Dose at which growth is half of that of the controls (GR 0.5); empty where it "
        "lies outside the doses tested.",
        "in_range": "Where gr50 lies: yes (within the doses tested), <min or >max.",
        "gr_max": "Growth rate at the highest doses: 1 as the controls, 0 no growth, below 0 "
        "cells die.",
        "gr_aoc": "Area over the curve of growth rates: 0 where the agent does nothing.",
        "gr_inf": "Growth rate that the curve approaches at an endless dose.",
        "gec50": "Dose of half the effect on growth that the curve spans; empty where it lies "
        "outside the doses tested.",
        "gr_hill": "Steepness of the curve.",
        "r2": "Share of the variance that the curve explains.",
        "p": "Chance of a curve so much better than a flat line (F-test).",
        "n_spots": "Spots with the agent.",
        "n_doses": "Distinct doses among them.",
        "time_zero": "Cells of a spot before treatment.",
        "control": "Cells of a negative control at this time.",
        "doublings": "Doublings of the negative controls since.",
        "flags": _flags("row", *_GROWTH_FLAGS, "no_controls", "few_doses"),
        "unit": "Unit of the dose.",
        "assay": "Assay of the slides.",
    },
    "screen/combinations.csv": {
        "group": "Group of slides, as in slides.tsv.",
        "agents": "Agents in the spot, joined by +.",
        "doses": "Their doses, in the same order.",
        "n_spots": "Spots with this combination.",
        "n_slides": "Slides that they are on.",
        "mean": "Mean of the normalised number.",
        "mean_low": "Lower end of its interval (screen.interval), from the spots' scatter.",
        "mean_high": "Upper end of its interval.",
        "bliss": "What independent agents would do (Bliss 1939): the shares that each leaves "
        "alone, multiplied; empty unless each was tested alone at this dose.",
        "hsa": "What the agent that does more does alone (highest single agent).",
        "excess_bliss": "By how many points of percent the combination does more than bliss; "
        "below 0: less.",
        "excess_low": "Lower end of its interval.",
        "excess_high": "Upper end of its interval.",
        "flags": _flags("row", *_COMBINATION_FLAGS, "few_spots"),
        "metric": "Which number was screened.",
        "assay": "Assay of the slides.",
        "normalise": "How the number was normalised.",
        "time_h": _TIME,
    },
    "screen/replicates.csv": {
        "group": "Group of both slides.",
        "slide_a": "One slide.",
        "slide_b": "Another slide of the group, with the same number and time.",
        "n": "Conditions (agent, dose and sample) that both have.",
        "pearson": "Correlation of the means of these conditions.",
        "spearman": "Correlation of their ranks.",
        "concordance": "Lin's concordance correlation coefficient: 1 where both tell the same; "
        "a shift or another gain lessens it.",
        "difference": "Mean of slide_b minus slide_a, in the unit of the normalised number.",
        "excess": "By how much they typically differ beyond what the scatter of replicate spots "
        "explains, in the same unit.",
        "p": "Chance that slides which tell the same differ so much (F-test).",
        "flags": "slides_disagree where p is below 0.01 and excess above 10 points of percent (a "
        "tenth of the range where the number is as measured); few_doses where fewer than five "
        "conditions are shared.",
        "metric": "Which number was screened.",
        "assay": "Assay of the slides.",
        "normalise": "How the number was normalised.",
        "time_h": _TIME,
    },
    "screen/unmatched.csv": {
        "slide": _SPOT["slide"],
        "spot": _SPOT["spot"],
        "reason": "not_on_grid (the layout names a spot that the grid does not have) or "
        "not_in_layout (the grid has a spot that the layout does not name).",
        "agent": "Agent, as in the layout.",
        "concentration": "Its dose.",
        "unit": "Unit of the dose.",
        "role": "What the spot is for, as in the layout.",
    },
    "screen/quality.csv": {
        "slide": "Slide, as in slides.tsv.",
        "statistic": "Name of the statistic, see below.",
        "value": "Its value; empty where it cannot be computed.",
    },
    "scores.csv (instances)": _EVALUATED
    | {
        "n_true": "True objects.",
        "n_pred": "Predicted objects.",
        "count_error": "Difference of the two as a share of the true objects; pooled, the sum of "
        "the images' differences, without their signs.",
        "ap_50": "Average precision at an intersection over union (IoU) of 0.5: TP / (TP + FP + "
        "FN), objects paired one to one.",
    }
    | {f"ap_{percent}": f"The same at 0.{percent}." for percent in (60, 70, 75, 80, 90)}
    | {
        "ap_mean": "Mean of the average precision at 0.5, 0.55 and on to 0.95.",
        "precision": "Share of the predicted objects that are right (IoU of at least 0.5).",
        "recall": "Share of the true objects that were found.",
        "f1": "Harmonic mean of both; also the recognition quality.",
        "pq": "Panoptic quality: sq times f1.",
        "sq": "Segmentation quality: mean IoU of the pairs of at least 0.5.",
        "aji_plus": "Aggregated Jaccard index, objects paired one to one (AJI+).",
        "dice": "Dice of all pixels in objects, whichever object they are in.",
        "iou": "IoU of all pixels in objects.",
        "unlabelled": _UNLABELLED,
    },
    "scores.csv (classes)": _EVALUATED
    | {
        "global_accuracy": "Share of the pixels whose class is right.",
        "mean_accuracy": "Mean over the classes; the measures are those of classes.csv.",
        "weighted_accuracy": "Mean over the classes by their true pixels.",
    }
    | {
        f"{way}_{measure}": f"{text} {measure.replace('_', ' ').replace('iou', 'IoU')}."
        for measure in ("precision", "recall", "specificity", "iou", "boundary_f1")
        for way, text in (
            ("global", "All decisions of all classes counted alike:"),
            ("mean", "Mean over the classes:"),
            ("weighted", "Mean over the classes by their true pixels:"),
        )
        if (way, measure) != ("global", "boundary_f1")
    }
    | {"unlabelled": _UNLABELLED},
    "scores.csv (boxes)": {
        "what": "Of what the row tells: an image, or mean and sd (standard deviation) of the "
        "images, or pooled (all images as one), pooled_low and pooled_high (95 % interval, "
        "images drawn with replacement).",
        "image": _EVALUATED["image"],
        "class": "Class of the boxes; empty: all of them.",
        "n_true": "True boxes.",
        "n_pred": "Predicted boxes.",
        "matched": "Pairs of a true and a predicted box of a class, one to one, with an "
        "intersection over union of at least 0.1.",
        "lower": "Of these, below 0.5.",
        "higher": "Of these, at least 0.5.",
        "fp_ratio": "Predicted boxes without a partner, as a share of the predicted boxes.",
        "fn_ratio": "True boxes without a partner, as a share of the true boxes.",
        "fp_ratio_any": "fp_ratio where a box may be the partner of several.",
        "fn_ratio_any": "fn_ratio, likewise.",
    },
    "classes.csv": {
        "what": "class, or how the classes are put together: global (all decisions of all classes "
        "counted alike), mean, or weighted (by their true pixels).",
        "class": "Name of the class.",
        "pixels": "True pixels of the class.",
        "accuracy": "(TP + TN) / all pixels; global, the share of the pixels that are right. What "
        "MATLAB calls the accuracy of a class is its recall.",
        "precision": "TP / (TP + FP).",
        "recall": "TP / (TP + FN).",
        "specificity": "TN / (TN + FP).",
        "iou": "TP / (TP + FP + FN).",
        "boundary_f1": "F1 of boundary pixels that have a partner within the tolerance, mean of "
        "the images (MATLAB: BF score).",
    },
    "confusion.csv": {
        "true": "True class.",
        "predicted_<class>": "Pixels of this true class that were predicted to be of that class.",
    },
    "models/<name>.scores.csv": {
        "method": "network; teacher, the method it learned from, on the same images; or "
        "difference, network minus teacher.",
        "what": _EVALUATED["what"],
        "image": _EVALUATED["image"],
        "<score>": "The scores of scores.csv: of instances, or of classes.",
    },
    "models/<name>.curves.csv": {
        "step": "Batches learned from.",
        "loss": "Mean loss of the batches since the row before.",
        "<score>": "Score on the validation images, where there are some; those of scores.csv.",
    },
    "index.tsv (data set)": {
        "name": "Name of the image: images/<name>.tif, and of its labels.",
        "source": "Slide, plate or acquisition that it is from; all images of a source are on one "
        "side.",
        "split": "train, validation or test; empty: not decided.",
        "kind": "Whose labels these are: weak (a teacher's), corrected (a person's, the default) "
        "or phantom (known exactly).",
        "weight": "How much the image counts, above 0 to 1; 1 where it is empty.",
    },
    "ratings.csv": {
        "rater": "Who rated.",
        "image": "Name of the image.",
        "method": "Name of the segmentation, A or B unless named otherwise.",
        "score": "Score from 1 to 10.",
        "side": "Where it was shown: left or right.",
        "order": "Place of the image in the order of showing, from 1.",
    },
}

QUALITY: dict[str, str] = {
    "n_spots": "Positions of the grid.",
    "n_found": "Positions where a spot shows.",
    "n_measured": "Spots with a value.",
    "n_used": "Spots with a value that may enter curves and statistics.",
    "n_left_out": "Of these, spots with few cells, which curves use and the statistics below do "
    "not.",
    "n_flagged": "Spots with any flag.",
    "n_<flag>": f"Spots with this flag: {', '.join((*SPOT_FLAGS, *_SCREEN_FLAGS))}.",
    "layout_not_on_grid": "Spots of the layout that the grid does not have.",
    "grid_not_in_layout": "Positions of the grid that the layout does not name.",
    "grid_confidence": "Confidence of the grid, from 0 to 1.",
    "cells_per_spot": "Median number of cells or objects in the spots used.",
    "n_neg_ctrl": "Negative controls used.",
    "n_pos_ctrl": "Positive controls used.",
    "neg_ctrl_median": "Median of the negative controls, as measured.",
    "neg_ctrl_sd": "Standard deviation of the negative controls.",
    "neg_ctrl_cv": "Coefficient of variation of the negative controls, in percent.",
    "pos_ctrl_median": "Median of the positive controls, as measured.",
    "pos_ctrl_sd": "Standard deviation of the positive controls.",
    "z_prime": "Z' = 1 - 3 (sd+ + sd-) / |mean+ - mean-| of the controls; above 0.5 is good.",
    "robust_z_prime": "Z' with medians and MADs, which single bad spots do not spoil.",
    "ssmd": "Strictly standardised mean difference of negative and positive controls.",
    "robust_ssmd": "SSMD with medians and MADs.",
    "signal_window": "Room between three standard deviations of both controls, in standard "
    "deviations of the negative ones; above 2 is good.",
    "edge_effect": "Median of the outermost negative controls minus that of the inner ones, in "
    "percent of the inner.",
    "edge_effect_all": "The same over all spots used.",
    "edge_p": "Chance of such a difference between outermost and inner negative controls "
    "(Mann-Whitney).",
    "edge_all_p": "The same over all spots, each against the others of its agent and dose.",
    "row_p": "Chance that rows differ so much where nothing is wrong (Kruskal-Wallis), each spot "
    "against the others of its agent and dose.",
    "row_range": "From the lowest to the highest median of a row, each spot against the others of "
    "its agent and dose, in percent of the negative controls.",
    "col_p": "row_p of columns.",
    "col_range": "row_range of columns.",
    "morans_i": "Moran's I: above 0 where neighbouring spots deviate alike from the others of "
    "their agent and dose.",
    "morans_p": "Chance of so great a Moran's I, by exchanging spots of the same agent and dose.",
    "n_replicated": "Conditions (agent, dose and sample) with two spots or more.",
    "replicate_sd": "Standard deviation of replicate spots, pooled over conditions, in the unit of "
    "the normalised number.",
    "replicate_cv": "The same in percent of the mean of these spots.",
    "replicate_icc": "Intraclass correlation: share of the variance that is between conditions; 1 "
    "where replicate spots agree.",
    "gradient": "How much the plane through the negative controls changes over the slide, in "
    "percent of their mean; it may be chance, see correction_p.",
    "correction_gain": "Squared error of the negative controls, each predicted from the others, "
    "that a plane or a quadratic surface saves against their mean, in percent.",
    "correction_p": "Chance of such a saving, by exchanging the controls' places.",
    "correction": "What was taken off: 0 nothing, 1 a plane, 2 a quadratic surface. It is where "
    "correction_gain is at least 5, correction_p below 0.03 and screen.correct is auto.",
    "correction_range": "Difference between the greatest and the least factor that spots were "
    "divided by, in percent.",
    "metric_of_study": "1 where the slide has the number named in screen.metric, 0 where its "
    "assay's own number stands in.",
}
"""Statistics of quality.csv."""

_NOT_MEASURED = {"slide", "spot", "row", "col", "x", "y", "flags", "viability_low",
                 "viability_high", "viability_stained_low", "viability_stained_high",
                 "value_low", "value_high", "unit", "method"}  # fmt: skip


def column_names(table: str) -> list[str]:
    """Columns of a table in the order in which they are written, without those of channels.

    Raises
    ------
    KeyError
        If `table` is none of `COLUMNS`.
    """
    return [name for name in COLUMNS[table] if "<" not in name]


def measured_columns(assay: str) -> list[str]:
    """Columns of the assay's spots.csv that can be screened."""
    return [name for name in column_names(f"spots.csv ({assay})") if name not in _NOT_MEASURED]


def feature_names() -> list[str]:
    """Columns of instances that can be aggregated, without those of other channels."""
    return [name for name in _FEATURES if name not in ("spot", "label")]
