#!/usr/bin/python3
"""validate.py SCHEMA FILE: says where FILE ("-": standard input) breaks SCHEMA, one of the *.json here; exit status 1 if it does."""
import json
import pathlib
import sys

import jsonschema

schema_path = pathlib.Path(__file__).resolve().parent / sys.argv[1]
schema = json.loads(schema_path.read_text())
document = json.load(sys.stdin if sys.argv[2] == "-" else open(sys.argv[2]))
resolver = jsonschema.RefResolver(schema_path.as_uri(), schema)
errors = list(jsonschema.Draft4Validator(schema, resolver=resolver).iter_errors(document))
for error in errors:
    print("/".join(map(str, error.absolute_path)) + ":", error.message)
sys.exit(bool(errors))
