"""Isolation forests of others, timed when asked, so that they take turns with ours.

usage: peers.py X.f32 COLUMNS
Reads `fit NAME`, `score NAME`, `one NAME` and `size NAME` from standard input and answers each with one number:
seconds of CPU time of this process, or bytes. `names` answers with the names.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import pickle
import sys
import time

import numpy as np
from isotree import IsolationForest as IsoTree
from sklearn.ensemble import IsolationForest

PATH, COLUMNS = sys.argv[1], int(sys.argv[2])

single = np.fromfile(PATH, dtype="<f4").reshape(-1, COLUMNS)
double = single.astype("f8")
isotree = dict(ntrees=100, sample_size=256, max_depth=8, nthreads=1, missing_action="fail", random_seed=1)
# name: matrix it takes without a conversion, fit, score
PEERS = {
    "scikit-learn": (
        single,
        lambda x: IsolationForest(n_estimators=100, max_samples=256, n_jobs=1, random_state=1).fit(x),
        lambda model, x: model.score_samples(x),
    ),
    "isotree": (double, lambda x: IsoTree(ndim=1, **isotree).fit(x), lambda model, x: model.predict(x)),
    "isotree pooled gain": (
        double,
        lambda x: IsoTree(ndim=1, ntry=1, prob_pick_pooled_gain=1.0, **isotree).fit(x),
        lambda model, x: model.predict(x),
    ),
}
models = {}


def answer(verb, name):
    x, fit, score = PEERS[name]
    if verb == "size":
        return len(pickle.dumps(models[name]))
    begun = time.process_time()
    if verb == "fit":
        models[name] = fit(x)
    elif verb == "score":
        score(models[name], x)
    elif verb == "one":
        for _ in range(20):
            score(models[name], x[:1])
        return (time.process_time() - begun) / 20
    return time.process_time() - begun


for line in sys.stdin:
    verb, _, name = line.strip().partition(" ")
    print(",".join(PEERS) if verb == "names" else answer(verb, name), flush=True)
