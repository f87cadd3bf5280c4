"""Works that the methods of a report rest on, as they are cited there."""

from __future__ import annotations

from collections.abc import Iterable

_WORKS = {
    "Bliss 1939": "Bliss CI. The toxicity of poisons applied jointly. Ann Appl Biol 26:585–615 "
    "(1939). doi:10.1111/j.1744-7348.1939.tb06990.x",
    "Hafner et al. 2016": "Hafner M, Niepel M, Chung M, Sorger PK. Growth rate inhibition metrics "
    "correct for confounders in measuring sensitivity to cancer drugs. Nat Methods 13:521–527 "
    "(2016). doi:10.1038/nmeth.3853",
    "Halchenko et al. 2021": "Halchenko YO, et al. DataLad: distributed system for joint "
    "management of code, data, and their relationship. J Open Source Softw 6:3262 (2021). "
    "doi:10.21105/joss.03262",
    "Hartung and Knapp 2001": "Hartung J, Knapp G. A refined method for the meta-analysis of "
    "controlled clinical trials with binary outcome. Stat Med 20:3875–3889 (2001). "
    "doi:10.1002/sim.1009",
    "Lin 1989": "Lin LI-K. A concordance correlation coefficient to evaluate reproducibility. "
    "Biometrics 45:255–268 (1989). doi:10.2307/2532051",
    "Mölder et al. 2021": "Mölder F, et al. Sustainable data analysis with Snakemake. "
    "F1000Research 10:33 (2021). doi:10.12688/f1000research.29032.2",
    "Moore et al. 2021": "Moore J, et al. OME-NGFF: a next-generation file format for expanding "
    "bioimaging data-access strategies. Nat Methods 18:1496–1498 (2021). "
    "doi:10.1038/s41592-021-01326-w",
    "Moran 1950": "Moran PAP. Notes on continuous stochastic phenomena. Biometrika 37:17–23 "
    "(1950). doi:10.1093/biomet/37.1-2.17",
    "Otsu 1979": "Otsu N. A threshold selection method from gray-level histograms. IEEE Trans Syst "
    "Man Cybern 9:62–66 (1979). doi:10.1109/TSMC.1979.4310076",
    "Paule and Mandel 1982": "Paule RC, Mandel J. Consensus values and weighting factors. J Res "
    "Natl Bur Stand 87:377–385 (1982). doi:10.6028/jres.087.022",
    "Ronneberger et al. 2015": "Ronneberger O, Fischer P, Brox T. U-Net: convolutional networks "
    "for biomedical image segmentation. MICCAI 2015, LNCS 9351:234–241. "
    "doi:10.1007/978-3-319-24574-4_28",
    "Scherr et al. 2020": "Scherr T, Löffler K, Böhland M, Mikut R. Cell segmentation and tracking "
    "using CNN-based distance predictions and a graph-based matching strategy. PLoS ONE "
    "15:e0243219 (2020). doi:10.1371/journal.pone.0243219",
    "Wilson 1927": "Wilson EB. Probable inference, the law of succession, and statistical "
    "inference. J Am Stat Assoc 22:209–212 (1927). doi:10.1080/01621459.1927.10502953",
    "Yadav et al. 2014": "Yadav B, et al. Quantitative scoring of differential drug sensitivity "
    "for individually optimized anticancer therapies. Sci Rep 4:5193 (2014). "
    "doi:10.1038/srep05193",
    "Zhang et al. 1999": "Zhang J-H, Chung TDY, Oldenburg KR. A simple statistical parameter for "
    "use in evaluation and validation of high throughput screening assays. J Biomol Screen 4:67–73 "
    "(1999). doi:10.1177/108705719900400206",
    "Zhang 2007": "Zhang XD. A pair of new statistical parameters for quality control in RNA "
    "interference high-throughput screening assays. Genomics 89:552–561 (2007). "
    "doi:10.1016/j.ygeno.2006.12.014",
}


def cited(sentences: Iterable[str]) -> list[str]:
    """References that the sentences cite, in the order of their names."""
    text = " ".join(sentences)
    return [work for name, work in _WORKS.items() if name in text]
