"""The columns of every artifact, each with a description and a unit; names and types are defined only here.

A change of a column's name, type or meaning raises the schema's version.
"""

import pyarrow as pa

from tgr_cli.artifacts.columns import FLAG, INTEGER, MOST, NUMBER, ROUNDED, TEXT, Column, Schema

STATUSES = ("ok", "empty", "thoughts", "truncated", "refused", "unusable", "failed")
OUTCOMES = ("non_finite", "sdc", "masked", "benign")
NOT_FINITE = "where the outcome is non_finite"
NO_FINITE = "where no outcome was finite, or no limit can be formed"

DESCRIPTIONS = Schema(
    "descriptions",
    2,
    "one description of one class, or a question that has none",
    "tgr describe",
    (
        Column("class_index", INTEGER, "", "Index of the class, from 0, in the data set's order."),
        Column("class_name", TEXT, "", "Name of the class as it is written into prompts."),
        Column("question", TEXT, "", "Question or template that the description answers; empty where none is known."),
        Column("sample", INTEGER, "", "Number of the answer to this question, from 0."),
        Column(
            "description",
            TEXT,
            "",
            "The description: one or more English sentences.",
            null="where the status is not ok",
        ),
        Column(
            "status",
            TEXT,
            "",
            "ok, empty, thoughts, truncated, refused, unusable or failed: what became of the question in the end.",
            among=STATUSES,
        ),
        Column("source", TEXT, "", "Where it comes from: stored, template, imported, or the language model's name."),
    ),
    may_be_empty=True,
)

EMBEDDINGS = Schema(
    "embeddings",
    1,
    "one class",
    "tgr embed",
    (
        Column("class_index", INTEGER, "", "Index of the class, from 0, in the data set's order."),
        Column("class_name", TEXT, "", "Name of the class as it is written into prompts."),
        Column(
            "embedding",
            pa.list_(pa.float32()),
            "",
            "Class embedding of unit Euclidean norm; E numbers.",
            one_length=True,
        ),
        Column("descriptions", INTEGER, "texts", "How many texts were averaged; 0 for a stored matrix or random rows."),
        Column(
            "spread",
            NUMBER,
            "cosine",
            "Mean cosine between the class embedding and its texts' embeddings; 1 where all are equal.",
            null="where there were no texts",
        ),
    ),
    key=("class_index",),
)

TEXT_EMBEDDINGS = Schema(
    "text_embeddings",
    1,
    "one text that went into a class embedding",
    "tgr embed --keep-all",
    (
        Column("class_index", INTEGER, "", "Index of the class, from 0, in the data set's order."),
        Column("class_name", TEXT, "", "Name of the class as it is written into prompts."),
        Column("text", TEXT, "", "The description or filled template."),
        Column(
            "embedding",
            pa.list_(pa.float32()),
            "",
            "Its embedding, of unit Euclidean norm; E numbers.",
            one_length=True,
        ),
        Column("cosine", NUMBER, "cosine", "Cosine between it and its class's embedding."),
    ),
    may_be_empty=True,
)

TRAINING = Schema(
    "training",
    1,
    "one epoch",
    "tgr train",
    (
        Column("epoch", INTEGER, "", "Epoch, from 1."),
        Column("learning_rate", NUMBER, "", "Learning rate of the epoch's last step."),
        Column("train_loss", NUMBER, "nats", "Mean loss over the epoch's training images, as optimised."),
        Column("train_top1", NUMBER, "share", "Training images classified correctly while training."),
        Column("val_loss", NUMBER, "nats", "Mean cross entropy over the evaluation images."),
        Column("val_top1", NUMBER, "share", "Evaluation images whose label is the prediction."),
        Column("val_top5", NUMBER, "share", "Evaluation images whose label is among the five highest logits."),
    ),
    key=("epoch",),
    formats="format",
)

GOLDEN = Schema(
    "golden",
    1,
    "one image, classified without a fault",
    "tgr evaluate",
    (
        Column("image_id", TEXT, "", "Stable name of the image within the data set."),
        Column("label", INTEGER, "", "Index of the true class."),
        Column("prediction", INTEGER, "", "Index of the highest logit; ties go to the lowest index."),
        Column("loss", NUMBER, "nats", "Cross entropy of the logits against the label."),
        Column("top1", NUMBER, "probability", "Highest softmax probability."),
        Column("top2", NUMBER, "probability", "Second highest softmax probability."),
        Column("top2diff", NUMBER, "probability", "top1 - top2, in [0, 1] (ISSRE 2021, section IV-B)."),
        Column("rank_of_label", INTEGER, "", "Classes with a higher logit than the label's; 0 where it is right."),
    ),
    key=("image_id",),
    may_be_empty=True,  # the commands that read it report an empty one
    formats="format",
)

PROFILE = (
    Column("min", NUMBER, "activation", "Smallest value seen.", limits=(-MOST, MOST)),
    Column("max", NUMBER, "activation", "Largest value seen.", limits=(-MOST, MOST)),
    Column("max_abs", NUMBER, "activation", "Largest absolute value seen: the range limit.", limits=(0.0, MOST)),
    Column("mean_abs", NUMBER, "activation", "Mean absolute value.", limits=(0.0, MOST)),
    Column("p99", NUMBER, "activation", "99th percentile of the absolute values.", limits=(0.0, MOST)),
    Column("p99_9", NUMBER, "activation", "99.9th percentile of the absolute values.", limits=(0.0, MOST)),
    Column("p99_99", NUMBER, "activation", "99.99th percentile of the absolute values.", limits=(0.0, MOST)),
)

RANGES = Schema(
    "ranges",
    1,
    "one site",
    "tgr profile-ranges",
    (Column("site", TEXT, "", "Name of the site."), *PROFILE),
    key=("site",),
    formats="format",
)

ACTIVATION_RANGES = Schema(
    "activation_ranges",
    1,
    "one activation function, pooling or concatenation",
    "tgr profile-ranges --after-activations",
    (
        Column("operation", TEXT, "", "Module that runs it, numbered where it runs several."),
        Column("function", TEXT, "", "What it is, such as relu."),
        *PROFILE,
    ),
    key=("operation",),
    formats="format",
)

BIT = Column(
    "bit",
    INTEGER,
    "",
    "Bit that is struck, the lowest of a burst; 0 is the least significant. -1 where no single place is.",
    limits=(-1, 63),
)


def _choice(since: int) -> Column:
    meaning = "What happens to the word, among the fault model's numbered choices; the bit where any bit may flip."
    return Column("choice", INTEGER, "", meaning, since=since)


def _footprint(since: int) -> Column:
    meaning = "Which elements were struck with it, among the pattern's numbered footprints; 0 where there is one."
    return Column("footprint", INTEGER, "", meaning, since=since)


def _of_image(since: int) -> tuple[Column, Column]:
    weight = "The image's part of weight: uniform over actual probability of striking this image at this site."
    excess = "By how much the actual probability of striking this image at this site exceeds the uniform one."
    return (
        Column("image_weight", NUMBER, "", weight, since=since, limits=(0.0, MOST)),
        Column("image_excess", NUMBER, "", excess, since=since, limits=(-1.0, 1.0)),
    )


PLAN = Schema(
    "plan",
    3,
    "one fault on one image",
    "tgr inject --plan-only",
    (
        Column("fault", INTEGER, "", "Number of the fault at its site, from 0; one in a tensor has a row an image."),
        Column("site", TEXT, "", "Name of the site to be struck."),
        Column(
            "index",
            pa.list_(INTEGER),
            "",
            "Index of the element within one image's share of the output, or the tensor.",
        ),
        BIT,
        _choice(since=2),
        _footprint(since=2),
        Column("image_id", TEXT, "", "Stable name of the image within the data set."),
        Column("weight", NUMBER, "", "Uniform over actual probability of drawing this fault.", limits=(0.0, MOST)),
        *_of_image(since=3),
        Column("unit", INTEGER, "", "What is run, finished and kept together: one site on one lot of images."),
    ),
    formats="format",
)

INJECTIONS = Schema(
    "injections",
    4,
    "one fault",
    "tgr inject",
    (
        Column("fault", INTEGER, "", "Number of the fault at its site, from 0; one in a tensor has a row an image."),
        Column("site", TEXT, "", "Name of the site that was struck."),
        Column(
            "index",
            pa.list_(INTEGER),
            "",
            "Index of the struck element within one image's share of the output, or the tensor.",
        ),
        BIT,
        _choice(since=3),
        _footprint(since=3),
        Column("image_id", TEXT, "", "Stable name of the image within the data set."),
        Column("label", INTEGER, "", "Class against which the losses are taken."),
        Column(
            "value_before",
            NUMBER,
            "activation",
            "Value of the element without the fault; NaN where the image does not run the site.",
            may_be_nan=True,
        ),
        Column(
            "value_flipped", NUMBER, "activation", "Value after the fault, before the range limit.", may_be_nan=True
        ),
        Column("value_after", NUMBER, "activation", "Value the rest of the network saw.", may_be_nan=True),
        Column(
            "weight",
            NUMBER,
            "",
            "Uniform over actual probability of drawing this fault: mean(weight × x) estimates the mean of x.",
            limits=(0.0, MOST),
        ),
        *_of_image(since=4),
        Column("golden_label", INTEGER, "", "Prediction without the fault."),
        Column("faulty_label", INTEGER, "", "Prediction with the fault.", null=NOT_FINITE),
        Column("golden_loss", NUMBER, "nats", "Cross entropy without the fault."),
        Column("faulty_loss", NUMBER, "nats", "Cross entropy with the fault.", null=NOT_FINITE),
        Column("dloss", NUMBER, "nats", "|golden_loss - faulty_loss| (ISSRE 2021, equation 3).", null=NOT_FINITE),
        Column("golden_top1", NUMBER, "probability", "Highest softmax probability without the fault.", since=2),
        Column("faulty_top1", NUMBER, "probability", "The same with the fault.", null=NOT_FINITE, since=2),
        Column("golden_top2diff", NUMBER, "probability", "Top-1 minus top-2 probability without the fault."),
        Column("faulty_top2diff", NUMBER, "probability", "The same with the fault.", null=NOT_FINITE),
        Column("outcome", TEXT, "", "non_finite, sdc, masked or benign, decided in this order.", among=OUTCOMES),
    ),
    readable_from=1,
    formats="format",
)

SHARD = Schema(
    "shard",
    4,
    "one fault of a part of a campaign",
    "tgr inject --shard",
    (
        Column("row", INTEGER, "", "Place of the fault in the campaign's plan, from 0."),
        Column("unit", INTEGER, "", "Unit of the plan that the fault belongs to."),
        *INJECTIONS.columns,
    ),
    key=("row",),
    may_be_empty=True,
    formats="format",
)

# The results of the faults at one site, or in one feature map.
_SUMMARY = (
    Column("faults", INTEGER, "faults", "Faults injected there."),
    Column("images", INTEGER, "images", "Distinct images struck: the clusters of the intervals but for tensors."),
    Column("sdc", INTEGER, "rows", "Rows of injections with another prediction, all logits finite."),
    Column("non_finite", INTEGER, "rows", "Rows with a logit that is NaN or infinite."),
    Column("masked", INTEGER, "rows", "Rows in which no logit moved by more than 1e-5 of the largest one."),
    Column("benign", INTEGER, "rows", "All other rows."),
    Column("sdc_rate", NUMBER, "share", "Estimated share of faults with outcome sdc."),
    Column("sdc_rate_low", NUMBER, "share", "Lower limit of its interval."),
    Column("sdc_rate_high", NUMBER, "share", "Upper limit of its interval."),
    Column("failure_rate", NUMBER, "share", "Estimated share of faults with outcome sdc or non_finite."),
    Column("failure_rate_low", NUMBER, "share", "Lower limit of its interval."),
    Column("failure_rate_high", NUMBER, "share", "Upper limit of its interval."),
    Column("mean_dloss", NUMBER, "nats", "Estimated mean dLoss of finite outcomes.", null="where none was finite"),
    Column("mean_dloss_low", NUMBER, "nats", "Lower limit of its interval.", null="where it cannot be formed"),
    Column("mean_dloss_high", NUMBER, "nats", "Upper limit of its interval.", null="where it cannot be formed"),
    Column("reliable", FLAG, "", "False where the dLoss interval rests on too few images or faults."),
    Column("sdc_rate_reliable", FLAG, "", "False where the SDC rate rests on too few SDCs or images.", since=2),
)


def _limited(name: str, unit: str, meaning: str, null: str = "") -> tuple[Column, ...]:
    return (
        Column(name, NUMBER, unit, meaning, null=null),
        Column(f"{name}_low", NUMBER, unit, "Lower limit of its interval.", null=null),
        Column(f"{name}_high", NUMBER, unit, "Upper limit of its interval.", null=null),
    )


VULNERABILITY = Schema(
    "vulnerability",
    2,
    "one site",
    "tgr inject",
    (
        Column("site", TEXT, "", "Name of the site."),
        Column("op", TEXT, "", "conv, linear or matmul; of a tensor: weight, bias or buffer."),
        Column("per_image", FLAG, "", "False where all images share one output (a bias table's network)."),
        Column("neurons", INTEGER, "elements", "Elements of the output for one image, or of the tensor."),
        Column("macs", INTEGER, "multiply-accumulates", "Work of the site for one image."),
        *_SUMMARY,
    ),
    key=("site",),
    formats="format",
)

FEATURE_MAPS = Schema(
    "feature_maps",
    2,
    "one feature map",
    "tgr inject --granularity map",
    (
        Column("site", TEXT, "", "Name of the site that computes the feature map."),
        Column("op", TEXT, "", "conv, linear or matmul."),
        Column("channel", INTEGER, "", "Number of the feature map among the site's output channels, from 0."),
        Column("neurons", INTEGER, "elements", "Elements of the feature map for one image."),
        Column("macs", INTEGER, "multiply-accumulates", "Work of the feature map for one image."),
        *_SUMMARY,
        Column("v_orig", NUMBER, "share", "V_orig: its share of the work of all struck sites (ISSRE 2021, III-B)."),
        *_limited("v_dloss", "nats", "V = V_orig × mean_dloss: its part of V_CNN.", NO_FINITE),
        *_limited("v_sdc", "probability", "V = V_orig × sdc_rate, with P_prop by mismatch."),
    ),
    key=("site", "channel"),
    formats="format",
)

EXHAUSTIVE = Schema(
    "exhaustive",
    2,
    "one bit of one class's logit on one image: all faults of the last site",
    "tgr inject --exhaustive last",
    (
        Column("image_id", TEXT, "", "Stable name of the image within the data set."),
        Column("label", INTEGER, "", "Class against which the losses are taken."),
        Column("class_index", INTEGER, "", "Class whose output was struck."),
        BIT,
        _choice(since=2),
        Column("value_before", NUMBER, "activation", "Value of the output without the fault.", may_be_nan=True),
        Column(
            "value_flipped", NUMBER, "activation", "Value after the fault, before the range limit.", may_be_nan=True
        ),
        Column("value_after", NUMBER, "activation", "Value that counted.", may_be_nan=True),
        Column("faulty_label", INTEGER, "", "Prediction with the fault.", null=NOT_FINITE),
        Column("dloss", NUMBER, "nats", "Absolute change of the cross entropy.", null=NOT_FINITE),
        Column("outcome", TEXT, "", "non_finite, sdc, masked or benign, decided in this order.", among=OUTCOMES),
    ),
    formats="format",
)

SURFACE = Schema(
    "surface",
    1,
    "one kind of fault at one site, or over the network",
    "tgr inject --surface",
    (
        Column("site", TEXT, "", "Name of the site; empty for the mean over sites."),
        Column("format", TEXT, "", "Number format in which the struck value alone is stored."),
        Column("fault_model", TEXT, "", "What a fault does to the stored word."),
        Column("anchors", INTEGER, "neurons", "Struck neurons, each on one image; all kinds of fault share them."),
        Column("sdc_rate", NUMBER, "share", "Estimated share of faults with outcome sdc."),
        Column("sdc_rate_low", NUMBER, "share", "Lower limit of its interval."),
        Column("sdc_rate_high", NUMBER, "share", "Upper limit of its interval."),
        Column("mean_dloss", NUMBER, "nats", "Estimated mean dLoss."),
        Column("mean_dloss_low", NUMBER, "nats", "Lower limit of its interval."),
        Column("mean_dloss_high", NUMBER, "nats", "Upper limit of its interval."),
        Column("reliable", FLAG, "", "False where the dLoss interval rests on too few images."),
    ),
    key=("site", "format", "fault_model"),
    formats="format",
)

NO_COVERAGE = "without injections, or where none was an SDC"


SWEEP = Schema(
    "sweep",
    2,
    "one model at one threshold on one criterion",
    "tgr top2diff-sweep",
    (
        Column("model", TEXT, "", "Name of the run: model, head and initialisation."),
        Column("criterion", TEXT, "", "top2diff (top-1 minus top-2 probability) or top1conf (top-1 probability)."),
        Column(
            "count_by",
            TEXT,
            "",
            "What counts alike in coverages: sites, neurons or macs (a site counts by its neurons or work).",
            null="without injections",
        ),
        Column(
            "operations", TEXT, "", "Operations whose sites count in coverages, as conv.", null="without injections"
        ),
        Column("threshold", NUMBER, "probability", "Threshold on the criterion; inferences below it run again."),
        Column(
            "accuracy", NUMBER, "share", "Images classified correctly with a criterion ≥ threshold, over all images."
        ),
        *_limited(
            "overhead",
            "share",
            "Images below the threshold without a fault, right or wrong: inferences run again (ILR, ISSRE 2021).",
        ),
        *_limited(
            "coverage",
            "share",
            "SDCs on correct images whose faulty inference is below the threshold, as a check on each output sees it.",
            NO_COVERAGE,
        ),
        *_limited(
            "coverage_golden",
            "share",
            "SDCs on correct images that are below the threshold without the fault, as an analysis by image sees it.",
            NO_COVERAGE,
        ),
        Column("coverage_reliable", FLAG, "", "False where coverages rest on too few SDCs.", null=NO_COVERAGE),
    ),
    key=("model", "criterion", "threshold"),
    formats="formats",
)

NONE = "where there is no such image"
NO_FACTOR = "where the candidate's figure is 0 or either is missing"
NO_MEAN = "where a mean dLoss is 0 or missing, or a run had no range limit"
SETTLED = "unless the verdict is not distinguishable and"


def _factor(name: str, meaning: str, null: str) -> tuple[Column, ...]:
    unformed = "where it cannot be formed"
    return (
        Column(name, NUMBER, "factor", f"Baseline over candidate: {meaning}.", null=null),
        Column(f"{name}_low", NUMBER, "factor", "Lower limit of its interval.", null=unformed),
        Column(f"{name}_high", NUMBER, "factor", "Upper limit of its interval.", null=unformed),
        Column(f"{name}_reliable", FLAG, "", "False where the interval rests on too little, on either side."),
        Column(
            f"{name}_verdict",
            TEXT,
            "",
            "better, worse or not distinguishable at 99 %; rests on too little where the interval is not reliable.",
            null=null,
        ),
        Column(
            f"{name}_settled_by_faults",
            INTEGER,
            "faults a site",
            "About how many faults a site in each run would bring 1 out of the interval, if the factor stays.",
            null=f"{SETTLED} so many faults on the same images would",
        ),
        Column(
            f"{name}_settled_by_images",
            INTEGER,
            "images",
            "About how many struck images would, with as many faults an image as now.",
            null=f"{SETTLED} faults on the same images would not do",
        ),
    )


COMPARISON = Schema(
    "comparison",
    3,
    "one candidate against the baseline, on one choice of images",
    "tgr compare",
    (
        Column("baseline", TEXT, "", "Name of the baseline's run."),
        Column("candidate", TEXT, "", "Name of the candidate's run."),
        Column("images", TEXT, "", "own: the images of each model's campaign; common: those of them both get right."),
        Column("accuracy_baseline", NUMBER, "share", "Top-1 accuracy of the baseline, over all images."),
        Column("accuracy_candidate", NUMBER, "share", "Top-1 accuracy of the candidate, over all images."),
        Column("only_baseline_correct", INTEGER, "images", "Images that the baseline alone gets right, of all."),
        Column("only_candidate_correct", INTEGER, "images", "Images that the candidate alone gets right, of all."),
        Column("accuracy_p", NUMBER, "probability", "Of so uneven a split or more, by McNemar's exact two-sided test."),
        Column("accuracy_verdict", TEXT, "", "better, worse or not distinguishable at 99 %, by that test."),
        Column("params_delta", INTEGER, "parameters", "Candidate minus baseline.", limits=(None, None)),
        Column(
            "macs_delta",
            INTEGER,
            "multiply-accumulates",
            "Candidate minus baseline, for one image.",
            limits=(None, None),
        ),
        *_factor("last_layer", "mean dLoss, last site alone", NO_MEAN),
        *_factor("last_layer_by_neurons", "mean dLoss, a text-guided model's last two sites by neurons", NO_MEAN),
        *_factor("last_layer_by_macs", "mean dLoss, a text-guided model's last two sites by MACs", NO_MEAN),
        *_factor("overall", "mean over sites of mean dLoss", NO_MEAN),
        *_factor("overall_per_image", "the same without sites whose output all images share", NO_MEAN),
        *_factor("overall_by_macs", "sum over sites of MACs × mean dLoss (V_CNN across networks, ISSRE 2021)", NO_MEAN),
        *_factor("median_last_layer", "median dLoss, last site", NO_FACTOR),
        *_factor("median_overall", "mean over sites of median dLoss", NO_FACTOR),
        *_factor("sdc_last_layer", "SDC rate, last site", NO_FACTOR),
        *_factor("sdc_overall", "mean SDC rate over sites", NO_FACTOR),
        Column(
            "top2diff_baseline", NUMBER, "probability", "Mean Top2Diff of the baseline's correct images.", null=NONE
        ),
        Column(
            "top2diff_candidate", NUMBER, "probability", "Mean Top2Diff of the candidate's correct images.", null=NONE
        ),
        Column("correct_baseline", INTEGER, "images", "Images that mean is over, for the baseline."),
        Column("correct_candidate", INTEGER, "images", "Images that mean is over, for the candidate."),
        Column("faults_baseline", INTEGER, "faults", "Faults the baseline's figures rest on."),
        Column("faults_candidate", INTEGER, "faults", "Faults the candidate's figures rest on."),
        Column("sdc_baseline", INTEGER, "faults", "SDCs among them, baseline."),
        Column("sdc_candidate", INTEGER, "faults", "SDCs among them, candidate."),
        Column("non_finite_baseline", INTEGER, "faults", "Non-finite outcomes, in no mean dLoss, baseline."),
        Column("non_finite_candidate", INTEGER, "faults", "Non-finite outcomes, in no mean dLoss, candidate."),
    ),
    key=("baseline", "candidate", "images"),
    formats="formats",
)

NO_MAP_AFTER = "where a logit or the map after the faults is not finite"

SALIENCY = Schema(
    "saliency",
    1,
    "one image as one model sees it, before and after faults in its weights",
    "tgr cam",
    (
        Column("model", TEXT, "", "Name of the run."),
        Column("layer", TEXT, "", "Module whose output the maps are taken from."),
        Column("image_id", TEXT, "", "Stable name of the image within the data set."),
        Column("label", INTEGER, "", "Index of the true class."),
        Column("explained", INTEGER, "", "Class that both maps explain."),
        Column("outcome", TEXT, "", "non_finite, sdc, masked or benign, of all the faults together.", among=OUTCOMES),
        Column("prediction_before", INTEGER, "", "Prediction without the faults."),
        Column("prediction_after", INTEGER, "", "Prediction with them.", null=NOT_FINITE),
        Column("top1_before", NUMBER, "probability", "Softmax probability of that prediction, without the faults."),
        Column("top1_after", NUMBER, "probability", "The same with the faults.", null=NOT_FINITE),
        Column("explained_before", NUMBER, "probability", "Probability of the explained class, without the faults."),
        Column("explained_after", NUMBER, "probability", "The same with the faults.", null=NOT_FINITE),
        Column(
            "correlation",
            NUMBER,
            "",
            "Pearson's correlation between the two maps, in [-1, 1].",
            limits=ROUNDED,
            null=f"where a map is the same everywhere, and {NO_MAP_AFTER}",
        ),
        Column(
            "shift",
            NUMBER,
            "share of the diagonal",
            "Distance between the maps' centres of mass.",
            null=f"where a map is 0 everywhere, and {NO_MAP_AFTER}",
        ),
        Column("difference", NUMBER, "", "Mean absolute difference between the maps.", null=NO_MAP_AFTER),
        Column("height", INTEGER, "places", "Rows of a map."),
        Column("width", INTEGER, "places", "Columns of a map."),
        Column("map_before", pa.list_(pa.float32()), "", "Map without the faults, row by row, scaled to [0, 1]."),
        Column("map_after", pa.list_(pa.float32()), "", "Map with them, likewise.", null=NO_MAP_AFTER),
    ),
    key=("model", "image_id"),
    formats="formats",
)

NO_DANGER = "where no fault was dangerous"


FIT = Schema(
    "fit",
    1,
    "the bits of one site, or of all sites of a model",
    "tgr fit",
    (
        Column("model", TEXT, "", "Name of the run."),
        Column("site", TEXT, "", "Name of the site; empty for all sites together."),
        Column("op", TEXT, "", "Its operation or kind of tensor; empty for all sites together."),
        Column("bits", INTEGER, "bits", "Elements times the width of the struck format's words."),
        Column("exposure", NUMBER, "share", "Mean share of the time for which a bit is exposed."),
        Column("fit", NUMBER, "FIT", "Rate of upsets λ: raw rate × bits × exposure; 1 FIT is one in 10⁹ hours."),
        *_limited("fit_safe", "FIT", "Rate of safe faults, λ_S."),
        *_limited("fit_detected", "FIT", "Rate of dangerous faults that are detected, λ_DD."),
        *_limited("fit_undetected", "FIT", "Rate of dangerous faults that are not detected, λ_DU."),
        *_limited("safe_fraction", "share", "λ_S / λ."),
        *_limited("diagnostic_coverage", "share", "λ_DD / (λ_DD + λ_DU).", NO_DANGER),
        *_limited("spfm", "share", "Single-point fault metric, 1 - λ_DU / λ (ISO 26262-5, annex C)."),
        Column("coverage_reliable", FLAG, "", "False where the diagnostic coverage rests on too few dangerous faults."),
    ),
    key=("model", "site"),
    formats="formats",
)

NOT_ORDERED = "where no feature maps are duplicated"
NOT_RERUN = "where no inferences run again"
NO_SDC = "where no fault on these images was an SDC"


def _overhead(name: str, images: str) -> tuple[Column, ...]:
    meaning = f"Work that it adds on the {images} images: multiply-accumulates over those of the unprotected network."
    limits = {"": meaning, "_low": "Lower limit of its interval.", "_high": "Upper limit of its interval."}
    # Duplication and re-running together may add more than the whole network.
    return tuple(Column(f"{name}{end}", NUMBER, "share", said, limits=(0.0, MOST)) for end, said in limits.items())


PROTECTION = Schema(
    "protection",
    1,
    "one model with one protection: a point of a technique's curve",
    "tgr protect",
    (
        Column("model", TEXT, "", "Name of the run."),
        Column("technique", TEXT, "", "ilr (re-running), flr (duplicated feature maps) or filr (both)."),
        Column("order", TEXT, "", "By what maps are ordered: dloss, mismatch, value or work.", null=NOT_ORDERED),
        Column("criterion", TEXT, "", "Confidence below which inferences run again.", null=NOT_RERUN),
        Column("threshold", NUMBER, "probability", "Inferences with a confidence below it run again.", null=NOT_RERUN),
        Column("maps", INTEGER, "", "How many feature maps are duplicated.", null=NOT_ORDERED),
        Column("chosen", FLAG, "", "True for the cheapest point that reaches the target on the analysis images."),
        Column("count_by", TEXT, "", "What counts alike in coverages: sites, neurons or macs."),
        Column("operations", TEXT, "", "Operations whose sites count in coverages, as conv."),
        *_limited("coverage_analysis", "share", "SDCs it catches of the analysis images: a prediction.", NO_SDC),
        *_limited("coverage_deployment", "share", "SDCs it catches of the other images: what it covers.", NO_SDC),
        *_overhead("overhead_analysis", "analysis"),
        *_overhead("overhead_deployment", "deployment"),
        *_limited("false_alarms", "share", "Inferences of the deployment in which it reports a fault without one."),
        Column("reliable", FLAG, "", "False where the coverage of the deployment rests on too few SDCs."),
    ),
    formats="formats",
)

KINDS: dict[str, Schema] = {
    schema.kind: schema
    for schema in (
        DESCRIPTIONS,
        EMBEDDINGS,
        TEXT_EMBEDDINGS,
        TRAINING,
        GOLDEN,
        RANGES,
        ACTIVATION_RANGES,
        PLAN,
        INJECTIONS,
        SHARD,
        VULNERABILITY,
        FEATURE_MAPS,
        EXHAUSTIVE,
        SURFACE,
        SWEEP,
        COMPARISON,
        SALIENCY,
        FIT,
        PROTECTION,
    )
}
