"""What users do wrong with options, places and defaults, case by case."""

import os
from pathlib import Path

from spoiling import ASKED, EVALUATE, INJECT, LISTED, TRAIN, WEIGHTS, Case, copy, fault, other_run, write
from toys_folder import RUN, TOY

OPTIONS = [
    # faults
    Case("fault at no site", f"{LISTED} --faults faults.csv", ('"fcc"', 'Did you mean "fc"?'), fault(site="fcc")),
    Case("fault outside the site", f"{LISTED} --faults faults.csv", ("index [3]", "[3]"), fault(index="3")),
    Case("fault at no bit", f"{LISTED} --faults faults.csv", ("bit 32", "0 to 31"), fault(bit="32")),
    Case("fault in a huge bit", f"{LISTED} --faults faults.csv", ("bit 9", "0 to 31"), fault(bit="9" * 30)),
    Case("fault on no image", f"{LISTED} --faults faults.csv", ("toy/99.png",), fault(image="toy/99.png")),
    Case("no fault", f"{LISTED} --faults faults.csv", ("no fault",), write("faults.csv", "site,index,bit,image_id\n")),
    Case("row out of range to replay", f"inject {TOY} --replay 9", ("rows 0 to 8", "row 9")),
    Case("unknown engine", f"{INJECT} --engine ful", ("ful", 'Did you mean "full"?')),
    Case("unknown limit", f"{INJECT} --limit clip", ("clip", "clamp")),
    Case("unknown sampling", f"{INJECT} --sampling unifrom", ("unifrom", 'Did you mean "uniform"?')),
    Case("target that is none", f"{INJECT} --target-ci dloss", ("dloss", "sdc=0.005")),
    Case("dLoss target without a limit", f"{INJECT} --limit none --target-ci dloss=0.1", ("--limit clamp", "sdc=")),
    Case("shard beyond the last", f"{INJECT} --shard 3/2", ("3/2", "as 2/3")),
    Case("plan of another kind", f"{INJECT} --plan {RUN / 'golden.parquet'}", ('"golden"', '"plan"', "--plan-only")),
    Case("exhaustive first site", f"{INJECT} --exhaustive first", ("first", "last")),
    Case("merge of no shard", f"merge {RUN / 'injections.parquet'}", ('"injections"', '"shard"', "--shard")),
    Case("unknown label", f"{INJECT} --label truth", ("truth", "golden")),
    Case("unknown target", f"{INJECT} --targets convs", ("convs", "conv")),
    *(
        Case(f"confidence {value}", f"{command} --confidence {value}", ("--confidence", "between 0.5 and 0.999999"))
        for command in (INJECT, "top2diff-sweep --dataset parquet:toy", "sites --model toys:build_toy")
        for value in ("1", "0.4999", "1e-300", "0.9999999999999999")
    ),
    Case("confidence that is no number", f"{INJECT} --confidence nan", ("--confidence",)),
    Case("dLoss gate without a limit", f"{INJECT} --limit none --max-dloss 1", ("--max-dloss", "--limit")),
    # training
    Case("unknown training head", f"{TRAIN} --head texts", ("texts",)),
    Case("unknown init", f"{TRAIN} --head text --init name", ("name", "template")),
    Case("unknown optimizer", f"{TRAIN} --optimizer adam", ("adam", "adamw")),
    Case("unknown schedule", f"{TRAIN} --schedule cosin", ("cosin", "cosine")),
    Case("unknown augmentation", f"{TRAIN} --augment flop", ("flop", "flip")),
    Case("negative learning rate", f"{TRAIN} --lr -0.1", ("--lr",)),
    Case("learning rate that is no number", f"{TRAIN} --lr nan", ("--lr",)),
    Case("nothing to resume", f"{TRAIN} --resume", ("resume",)),
    # output
    Case("file for a folder", f"{EVALUATE} --checkpoint toy.pt --workdir toy.pt", ("toy.pt", "--workdir")),
    Case("folder for a file", f"{EVALUATE} --out pictures", ("pictures", "is a folder")),
    Case("name too long for a folder", f"{EVALUATE} --name {'n' * 300}", ("File name too long",)),
    Case("name that leaves its folder", f"{EVALUATE} --name ../elsewhere", ("../elsewhere", "--name")),
    Case(
        "weights of someone else's in a run",
        f"{TRAIN} --out mine",
        ("mine/model.safetensors", "was not written by tgr"),
        lambda: (copy(str(RUN / "golden.parquet"), "mine/golden.parquet")(), copy("toy.pt", f"mine/{WEIGHTS}")()),
    ),
    Case(
        "a card of someone else's in a run",
        f"{TRAIN} --out mine",
        ("mine/model.json", "was not written by tgr"),
        lambda: (
            copy(str(RUN / "golden.parquet"), "mine/golden.parquet")(),
            write("mine/model.json", '{"license": "mine"}')(),
        ),
    ),
    Case(
        "another artifact where training's is written",
        f"{TRAIN} --out mine",
        ("mine/training.parquet", 'kind "golden"', '"training"'),
        copy(str(RUN / "golden.parquet"), "mine/training.parquet"),
    ),
    Case("answers of someone else's", ASKED, ("d.answers.jsonl", "was not written"), write("d.answers.jsonl", "my\n")),
    Case("a pipe for answers", ASKED, ("d.answers.jsonl", "named pipe"), lambda: os.mkfifo("d.answers.jsonl")),
    Case("a folder for answers", ASKED, ("d.answers.jsonl", "a folder"), Path("d.answers.jsonl").mkdir),
    # runs
    Case("sweep without runs", "top2diff-sweep --dataset mnist", ("runs/mnist", "tgr evaluate")),
    Case("sweep backwards", "top2diff-sweep --dataset parquet:toy --start 0.4 --stop 0.1", ("--start", "--stop")),
    Case("unknown run", f"compare {RUN.name} {RUN.name}s --dataset parquet:toy", (f"{RUN.name}s", "Did you mean")),
    Case("runs of other data", f"compare {RUN.name} other --dataset parquet:toy", ("other",), other_run),
    # defaults
    Case("broken tgr.toml", "formats", ("tgr.toml", "TOML"), write("tgr.toml", "epochs = ")),
    Case("unknown key in tgr.toml", "formats", ("tgr.toml", "epochz"), write("tgr.toml", "epochz = 3")),
    Case("unknown table in tgr.toml", "formats", ("tgr.toml", "[trian]"), write("tgr.toml", "[trian]\nepochs = 3")),
    Case("key of another table", "formats", ("tgr.toml", "epochs"), write("tgr.toml", "[inject]\nepochs = 3")),
    Case("folder for tgr.toml", "formats", ("tgr.toml",), Path("tgr.toml").mkdir),
    # usage
    Case(
        "wrong value in tgr.toml", TRAIN.replace(" --epochs 1", ""), ("--epochs",), write("tgr.toml", "epochs = []"), 2
    ),
    Case("unknown command", "injekt", ("injekt", "tgr --help"), code=2),
    Case("missing list of faults", f"{LISTED} --faults nowhere.csv", ("nowhere.csv", "does not exist")),
    Case("unknown option", f"{INJECT} --fault 3", ("--fault", "--faults"), code=2),
    Case("missing option", "inject --dataset digits", ("--model", "tgr inject --help"), code=2),
    Case("missing argument", "compare", ("baseline", "tgr compare --help"), code=2),
    Case("one run to compare", f"compare {RUN.name} --dataset parquet:toy", ("candidates",), code=2),
    Case("no epochs", f"{TRAIN} --epochs 0", ("--epochs",), code=2),
    Case("negative injections", f"{INJECT} --injections -1", ("--injections",), code=2),
    Case("no images", f"{EVALUATE} --images 0", ("--images",), code=2),
    Case("batches of none", f"{EVALUATE} --batch-size 0", ("--batch-size",), code=2),
    Case("negative seed", f"{INJECT} --seed -1", ("--seed",), code=2),
    Case("negative row to replay", f"inject {TOY} --replay -1", ("--replay",), code=2),
    Case("words for a number", f"{INJECT} --injections many", ("--injections",), code=2),
    Case("rate above 1", f"{INJECT} --max-sdc-rate 2", ("--max-sdc-rate",), code=2),
]
