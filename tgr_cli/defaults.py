"""Default values of options, one home for each: commands show them in --help, and steps' configs use them.

A separate module because most configs import torch, which --help must not. None and False are not listed: they mean
that an option was not given.
"""

from pathlib import Path

# Shared by most commands
DATASET = "imagenet"
WORKDIR = Path("runs")
DEVICE = "cpu"
WORKERS = 0  # processes that load images; 0: the command's own process
SEED = 0
BATCH_SIZE = 64  # images per forward pass
CONFIDENCE = 0.99  # confidence level of intervals
COUNT_BY = "neurons"  # ISSRE 2021 draws a random neuron

# Faults and range limits
TARGET = "neuron"
TARGETS = "conv,linear"
FAULT_MODEL = "flip"
PATTERN = "element"
STRIKE = "element"
GRANULARITY = "site"
LIMIT = "clamp"
PROFILED_IMAGES = 1024  # for range profiling, in "tgr profile-ranges" and "tgr inject"

# tgr inject
INJECTIONS = 4096  # faults per site, or per feature map
MAX_INJECTIONS = 65536
IMAGES_PER_FAULT = 16
PILOT = 256
SAMPLING = "importance"
ENGINE = "auto"
LABEL = "true"
MEMORY = "2GiB"
CAMPAIGN_BATCH_SIZE = 0  # 0: as many as fit the memory
VERIFY = 0

# tgr cam
CAM_FAULTS = 2000
CAM_LABEL = "golden"
CAM_BATCH_SIZE = 8  # channels per forward pass
CAM_IMAGES = 5

# tgr top2diff-sweep
TARGET_COVERAGE = 0.9  # share of SDCs for which the overhead is quoted: ISSRE 2021, figure 8
START, STOP, STEP = 0.0, 1.0, 0.01  # thresholds: the sweep of ISSRE 2021
CRITERION = "top2diff"

# tgr compare
FACTOR = "overall"

# tgr fit
PER = "mbit"
EXPOSURE = "1"  # all the time: an upper bound for activations, and what holds for weights
NON_FINITE = "undetected"
LASTING_COUNT = "once"

# tgr protect
ORDER = "dloss"  # of feature maps: ISSRE 2021
ANALYSIS_SHARE = 0.8  # of the images: ISSRE 2021, section VI-A
FOLDS = 5  # of the analysis images, by which coverage is predicted

# tgr train
HEAD = "baseline"
RECIPE = "none"
INIT = "descriptions"  # of a text head
RANDOM_DIM = 512  # E of random rows: that of CLIP ViT-B/32, so that heads are comparable

# tgr submit
RETRIES = 3  # of a task that was killed

# tgr describe
TEMPERATURE = 1.0  # the protocol's default, which applies if the parameter is not sent
MAX_TOKENS = 256
SAMPLES_PER_QUESTION = 1
CONCURRENCY = 8
TIMEOUT = 120.0  # seconds
BASE_URL = "https://api.openai.com/v1"
LLM = "gpt-4o-mini"

# tgr embed
ENCODER = "openclip"
CLIP_MODEL, CLIP_PRETRAINED = "ViT-B-32-quickgelu", "openai"
PRECISION = "fp32"

# tgr sites, tgr flip, tgr show
NUM_CLASSES = 1000
FORMAT = "float32"
ROWS = 5

# Named data sets
DATA_ROOT = Path("data")
