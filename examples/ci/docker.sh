#!/bin/sh
# Any other CI, and a terminal: the folder with tidegate.yml is mounted, the command is an argument.
#
#   DATABASE_URL=… ./docker.sh rollout --release v1.2.3
#
# Variables that the config or tidegate itself reads have to be named; a name without a value passes it on.
set -eu
exec docker run --rm \
  --volume "$PWD:/work" \
  --env CI --env TIDEGATE_ENVIRONMENT --env TIDEGATE_RUN --env DATABASE_URL \
  registry.example.com/tidegate:1 "$@"
