#!/usr/bin/env bash
# The workflow for people: `workflow/run.sh CORES experiment.yaml [overlay.yaml ...]`, as `make run` does.
# The workflow engine is silent. Each stage says what it did, or in one line why it failed.
set -uo pipefail
cores=$1
shift
aiv-rba check --on-ranks "$((cores < 2 ? cores : 2))" "$@" || exit 2
started=$(mktemp)
trap 'rm -f "$started"' EXIT
if snakemake --quiet all --cores "$cores" --configfile "$@"; then
    # The report is made last, whatever has changed.
    [ -n "$(find results -name report.html -newer "$started")" ] || echo "run: all results are up to date"
    exit 0
fi
# Why no stage ran: the engine itself stopped.
log=$(find .snakemake/log -name '*.log' -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1 | cut -d' ' -f2-)
if [ ! -s "$log" ] && [ -n "$(ls .snakemake/locks 2>/dev/null)" ]; then
    echo "run: another run works on the same results; if none does, run: snakemake --unlock" >&2
else
    snakemake --quiet rules --dry-run --configfile "$@" 2>&1 >/dev/null | tail -n 1 >&2
fi
exit 2
