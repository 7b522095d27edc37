# contrib/policy.schema.json to fence-policy.5: jq -r -f contrib/man/policy.jq contrib/policy.schema.json
. as $schema
| def roff: gsub("\\\\"; "\\e") | gsub("-"; "\\-") | sub("^(?<dot>['.])"; "\\&" + .dot);
  def definition: if ."$ref" then . + ($schema.definitions[."$ref" | ltrimstr("#/definitions/")] | with_entries(select(.key != "description"))) else . end;
  def kind: definition
    | if .enum then [.enum[] | "\"" + . + "\""] | join(", ")
      elif .type == "array" then "list" elif .type == null then "anything"
      elif (.type | type) == "array" then .type | join(" or ") else .type end;
  def words: [.description, (select(."$ref") | $schema.definitions[."$ref" | ltrimstr("#/definitions/")].description)] | map(select(.)) | join(" ");
  def entry($key): ".TP\n.BR " + ($key | roff) + " \" (" + (kind | gsub("\""; "\"\"") | roff) + ")\"\n" + (words | roff);
  ".TH FENCE-POLICY 5 \"\" \"fence\" \"File formats\"",
  ".\\\" Made of contrib/policy.schema.json by `make manual`.",
  ".SH NAME\nfence\\-policy \\- what a command or a container behind fence may do",
  ".SH DESCRIPTION\nA policy is an object in JSON. " + (.description | roff),
  "Unknown keys are errors. Where a policy is looked for is in\n.BR fence (1).",
  (.properties | to_entries[] | select(.value.properties | not) | select(.key | startswith("$") | not) | . as $item | .value | entry($item.key)),
  (.properties | to_entries[] | select(.value.properties) | . as $group
    | ".SH " + ($group.key | ascii_upcase), ($group.value | words | roff),
      ($group.value.properties | to_entries[] | . as $item | .value | entry($group.key + "." + $item.key))),
  ".SH EXAMPLE\n.nf\n{\n  \"filesystem\": { \"allowWrite\": [\".\"], \"denyRead\": [\"./secrets\", \"**/*.pem\"] },",
  "  \"network\": { \"allowedDomains\": [\"*.example.com\", \"192.0.2.0/24\"], \"deniedDomains\": [\"evil.example.com\"] },",
  "  \"command\": { \"deny\": [\"git push\"] }\n}\n.fi",
  ".SH SEE ALSO\n.BR fence (1)"
