"""NSGA-II with three objectives, by DEAP's stock (mu + lambda) loop."""

from __future__ import annotations

import random

from deap import algorithms, tools

import deap_xai as dx
from deap_xai.demo import creature

explainer = dx.Explainer(
    "demo",
    objectives=["probability", "size", "necessity"],
    operators={"bits": "initSizes", "mate": "cxRegion", "select": "selNSGA2"},
)
random.seed(0)
toolbox = explainer.toolbox(creature(seed=1).image)
front = tools.ParetoFront()
algorithms.eaMuPlusLambda(
    toolbox.population(n=20), toolbox, mu=20, lambda_=20, cxpb=0.6, mutpb=0.4, ngen=6,
    halloffame=front, verbose=False,
)  # fmt: skip
for individual in sorted(front, key=lambda one: one.fitness.values[1])[:8]:
    probability, size, necessity = individual.fitness.values
    print(f"{size:2.0f} superpixels: probability {probability:.3f}, necessity {necessity:.3f}")
