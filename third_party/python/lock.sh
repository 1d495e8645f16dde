#!/usr/bin/env bash
# Runs lock.py on the interpreter that has pip: lock.sh PYTHON SCRIPT [FLAG].
exec "$@"
