"""Swap an operator: one-point crossover against uniform, in DEAP's own eaSimple."""

from __future__ import annotations

import random

from deap import algorithms, tools

import deap_xai as dx
from deap_xai.demo import creature

image = creature(seed=1).image
explainer = dx.Explainer("demo")

for crossover, rates in [(tools.cxOnePoint, {}), (tools.cxUniform, {"indpb": 0.5})]:
    random.seed(0)  # DEAP's operators draw from here
    toolbox = explainer.toolbox(image)
    toolbox.register("mate", crossover, **rates)
    best = tools.HallOfFame(1)
    algorithms.eaSimple(
        toolbox.population(n=20), toolbox, 0.9, 0.2, ngen=8, halloffame=best, verbose=False
    )
    print(crossover.__name__, best[0].fitness.values, toolbox.evaluator.calls, "model calls")
