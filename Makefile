# make run | test | coverage | docs | test-slurm | soak | lint | bench | bench-scaling | bench-cost | bench-optimisers | gpu-check | validate | records | twin | twins | generalise | limits | design | rivals | study | calibration | physiological | schema | clean: each sets up .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
BUNDLED := workflow/config/perivascular.yaml
CONFIG ?= $(BUNDLED)
CORES ?= 2
HALF ?= judge
PROFILE ?= quick
PLAN ?= full
REPORT :=
DEVICE ?= cuda
FAMILY := workflow/config/twins.yaml
TWINS := $(filter-out bundled,$(shell sed -n 's/^\([a-z_]*\):$$/\1/p' $(FAMILY)))

.PHONY: help run test coverage docs test-slurm soak lint bench bench-scaling bench-cost bench-optimisers gpu-check validate records twin twins generalise limits design rivals study calibration physiological schema clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

# The package and what checks it on a GPU; all else comes after it.
.venv/package: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: found $$($(PYTHON) --version), expected Python 3.11 or newer"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[gpu-check]'
	@touch $@

.venv/installed: .venv/package
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,mpi,twin,workflow]'
	@touch $@

run: .venv/installed  ## the whole workflow; CONFIG="experiment.yaml overlay.yaml" instead of the bundled experiment
	@PATH="$(CURDIR)/$(BIN):$$PATH" workflow/run.sh $(CORES) $(CONFIG)

test: lint  ## all tests
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(CORES) --dist loadfile --durations 25 $(REPORT)

coverage: REPORT := --cov --cov-report=term:skip-covered
coverage: test  ## the same, and which lines they reach: slower, and an error below 90 percent

docs: .venv/installed  ## the manual, strictly; it opens from the disk without a network
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html
	@echo "$(CURDIR)/docs/_build/html/index.html"

test-slurm: .venv/installed  ## jobs on a Slurm cluster of two virtual nodes (as root on Debian)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[slurm]'
	tests/slurm/cluster.sh start && \
	  PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/pytest -m slurm tests/slurm; \
	  status=$$?; tests/slurm/cluster.sh stop; exit $$status

soak: .venv/installed  ## kill a rank at random twenty times in a row (minutes)
	KILLS=20 OMP_NUM_THREADS=1 $(BIN)/pytest tests/distributed/test_faults.py -k killed

lint: .venv/installed  ## style, types, import layers, workflow
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --lint --snakefile workflow/study.smk

bench: .venv/installed  ## the paper's step against nested autograd, JAX and the matrix product; writes results/bench_step.json
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m bench step

# The eight minutes include the installation.
gpu-check:  ## tests, speed and a training on this machine's GPU in eight minutes; DEVICE=cpu rehearses it
	@end=$$(($$(date +%s) + 480)); $(MAKE) --no-print-directory .venv/package && \
	  $(BIN)/python -m bench gpu_check --device $(DEVICE) --seconds $$((end - $$(date +%s)))

bench-scaling: .venv/installed  ## one and two ranks, and a plan for many; writes results/bench_scaling.json
	OMP_NUM_THREADS=1 $(BIN)/python -m bench scaling

bench-cost: .venv/installed  ## every method of the paper's profile, per iteration; writes results/bench_cost.json
	OMP_NUM_THREADS=1 $(BIN)/python -m bench cost

bench-optimisers: .venv/installed  ## every optimiser on both benchmarks, side by side on two cores (half an hour)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake results/validation/optimisers/finished --cores $(CORES)

validate: .venv/installed  ## known problems with quick settings (6 minutes); PROFILE=burgers: another profile
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake results/validation/$(PROFILE)/finished --cores $(CORES)

# The two judged twins are made first if they are missing, which takes tens of minutes. Snakemake
# looks for ready jobs once in every timespan for each job that has ended: of a second it
# took half a core for 222 jobs.
study: .venv/installed results/twins/lobe_e/experiment.yaml results/twins/bend_e/experiment.yaml  ## what RBA contributes on tracks: variants x seeds x twins (about 84 minutes on two cores; PLAN=quick: a rehearsal)
	@$(BIN)/python -m studies.study.duration $(PLAN) --cores $(CORES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --snakefile workflow/study.smk results/study/$(PLAN)/finished --cores $(CORES) --keep-going \
		--max-jobs-per-timespan 1000/60s --scheduler-subsample 10

records: .venv/installed  ## the most accurate solutions of both, side by side on two cores (about 40 minutes)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake results/validation/records/finished --cores $(CORES)

twin: .venv/installed  ## make the bundled experiment anew (minutes)
	OMP_NUM_THREADS=1 $(BIN)/aiv-rba twin --preset phantom --out data/perivascular

# The experiment is written last: a twin that has it is finished, and is not made again.
results/twins/%/experiment.yaml: | .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/aiv-rba twin --family $(FAMILY) --name $* --out $(@D)

twins: .venv/installed  ## make the family of twins, CORES at a time (an hour or two)
	$(MAKE) --jobs $(CORES) $(TWINS:%=results/twins/%/experiment.yaml)

generalise: .venv/installed  ## the workflow on the judged half of the family (HALF=choose: the other); hours
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m studies.generalise --half $(HALF) --cores $(CORES)

limits: .venv/installed  ## what limits the accuracy: noise, multipliers, seeds, equations, network; hours
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.limits --cores $(CORES)

design: .venv/installed  ## design curves: how much data is enough (PROFILE=whole: more points and two seeds; hours)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.design --profile $(PROFILE) --cores $(CORES)

rivals: .venv/installed results/twins/lobe_e/experiment.yaml results/twins/bend_e/experiment.yaml  ## other methods on the same tracks: interpolation, least squares, CFD, a plain network; hours
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[study]'
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.rivals

calibration: .venv/installed  ## whether standard deviations and verdicts are right, after generalise (HALF=choose: the other)
	$(BIN)/python -m studies.calibration --half $(HALF)

results/twin/physiological/truth.h5: | .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/aiv-rba twin --preset physiological --out $(@D)

physiological: results/twin/physiological/truth.h5  ## the twin at 50 um and 50 um/s: data, then the workflow
	$(MAKE) run CONFIG="$(BUNDLED) workflow/config/physiological.yaml"

schema: .venv/installed  ## write the JSON schema of the configuration
	$(BIN)/python -c 'import json; from aiv_rba.settings import json_schema; print(json.dumps(json_schema(), indent=2))' > workflow/schemas/experiment.schema.json

clean:  ## remove results
	rm -rf results .snakemake
