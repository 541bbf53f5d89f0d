#!/usr/bin/env bash
# Brings a Google Cloud project to what this checkout says, and leaves alone what stands already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=infra/deploy/project.sh
source infra/deploy/project.sh
# shellcheck source=infra/deploy/functions.sh
source infra/deploy/functions.sh

usage() {
  cat <<'HELP'
Usage: ./deploy.sh [OPTION]... PROJECT REGION

Deploys Zantara to Google Cloud: APIs, topics, subscriptions, IAM, Firestore, scheduler and alerts
with Terraform, one Cloud Run function per folder of functions/, and a smoke test through the hops.
Run it again after any change or failure: what stands already is left alone.

  --plan        show what Terraform would change, and stop
  --dry-run     print every command that would change something, and run none of them
  --only NAME   deploy only this function (dispatch, agent_light, …), and whatever Terraform changes
  --destroy     remove all but the database and Terraform's state; asks first
  --help        this

Needs gcloud (with its beta commands), terraform >= 1.9 and python3; one `gcloud auth login` is
enough. Sizes, callers, secrets, alerts, a domain: infra/terraform/terraform.tfvars.example.
JOBS (default 4) is how many functions are built at a time.
HELP
}

build=.build/deploy
infra=infra/terraform
action=deploy dry='' only='' project='' region='' current='Reading the command line'
services=() building=()

say() { printf '%s\n' "$*"; }
die() { say "deploy.sh: $*" >&2 && exit 1; }
step() { current=$1 && say && say "== $1"; }

# Whatever changes something in the cloud goes through here; a dry run only shows it.
exec 3>&1
run() {
  printf '+%s\n' "$(printf ' %q' "$@")" >&3 # in one write: builds run side by side
  [[ -n $dry ]] || "$@"
}

finish() {
  local status=$?
  [[ $status != 0 ]] || return 0
  {
    say && say "deploy.sh stopped at: $current."
    [[ -n $dry || $current == Checking* ]] || say "What was done before that stands and needs no" \
      "undoing. Mend the cause, then run the same command again: it goes on from here."
  } >&2
}

parse() {
  while (($#)); do
    case $1 in
      --help | -h) usage && exit 0 ;;
      --plan) action=plan dry=yes ;;
      --dry-run) dry=yes ;;
      --destroy) action=destroy ;;
      --only) (($# > 1)) || die "--only wants a function's name." && only=${2//_/-} && shift ;;
      -*) die "Unknown option $1; see --help." ;;
      *) if [[ -z $project ]]; then project=$1; elif [[ -z $region ]]; then region=$1; else die "Too many arguments; see --help."; fi ;;
    esac
    shift
  done
  [[ -n $project && -n $region ]] || die "Which PROJECT and REGION? See --help."
  [[ -z $only || $action != destroy ]] || die "--destroy removes everything: it takes no --only."
  [[ -z $only || -f functions/${only//-/_}/main.py ]] || die "There is no functions/${only//-/_}/main.py."
}

# Sets `variables`: what Terraform must know beyond terraform.tfvars.
describe() {
  # shellcheck disable=SC2086 # ids have no spaces
  variables=("-var=project_id=$project" "-var=project_number=$number" "-var=region=$region"
    "-var=existing_databases=$(json $databases)" "-var=deployed=$(json ${services[@]+"${services[@]}"})")
}

json() { python3 -c 'import json, sys; print(json.dumps(sorted(set(sys.argv[1:]))))' "$@"; }

plan() {
  step "Planning the infrastructure"
  rm -f "$infra/backend.tf"
  [[ -z $bucket ]] || printf 'terraform {\n  backend "gcs" {\n    bucket = "%s"\n  }\n}\n' "$bucket" >"$infra/backend.tf"
  terraform -chdir="$infra" init -input=false -reconfigure >"$build/init.log" || { cat "$build/init.log" && die "terraform init failed."; }
  changes=0 && describe
  terraform -chdir="$infra" plan -input=false -no-color -detailed-exitcode -out="$PWD/$build/plan" "${variables[@]}" >"$build/plan.log" 2>&1 || changes=$?
  [[ $changes == [02] ]] || { cat "$build/plan.log" && unlocked && die "terraform plan failed."; }
}

# A run that was killed leaves its lock; Terraform names it, but not the way out.
unlocked() {
  ! grep -q "Error acquiring the state lock" "$build/plan.log" ||
    die "Another run holds Terraform's lock. If there is none any more: terraform -chdir=$infra force-unlock ID, with the ID above."
}

apply() {
  step "Applying the infrastructure"
  if [[ $changes == 0 ]]; then say "It stands unchanged." && return; fi
  grep '^Plan:' "$build/plan.log" || true
  run terraform -chdir="$infra" apply -input=false "$PWD/$build/plan"
}

# The value goes from a random source to Secret Manager, and is seen nowhere else. Where it cannot be
# told whether there is one, none is added: it would replace the one that receivers know.
secrets() {
  step "Giving the callbacks a secret to sign with"
  local name=zantara-callback-secrets versions=''
  if ! versions=$(gcloud secrets versions list "$name" --project="$project" --filter=state=ENABLED --format='value(name)' 2>"$build/secrets.log"); then
    [[ -n $dry ]] || { cat "$build/secrets.log" >&2 && die "The versions of the secret $name cannot be listed."; }
  fi
  if [[ -n $versions ]]; then say "It has one." && return; fi
  new_secret | run gcloud secrets versions add "$name" --project="$project" --data-file=-
}

new_secret() {
  [[ -n $dry ]] ||
    python3 -c 'import base64, secrets; print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(), end="")'
}

smoke() {
  step "Sending a task through the hops"
  local each
  for each in dispatch agent-light results get-task; do
    if [[ " ${services[*]-} " != *" $each "* ]]; then say "Skipped: $each is not deployed." && return; fi
  done
  run python3 infra/deploy/smoke.py "$(url dispatch)" "$(url get-task)"
}

url() { awk -F '\t' -v service="$1" '$1 == service { print $3 }' "$build/bundles"; }

endpoints() {
  step "Endpoints"
  awk -F '\t' '{ printf "%-16s %s\n", $1, $3 } $4 != "-" { public = $4 }
    END { if (public) printf "%-16s %s (its A record: terraform -chdir='"$infra"' output dns)\n", "together", public }' "$build/bundles"
}

destroy() {
  local answer service
  step "Removing Zantara from $project"
  cut -d, -f1 "$build/standing" && say "These functions, the topics with whatever lies in them, the accounts and alerts go." \
    "The database and the bucket gs://$bucket stay."
  if [[ -z $dry ]]; then
    read -r -p "Type the project's id to go on: " answer || true
    [[ $answer == "$project" ]] || die "Nothing was removed."
  fi
  while IFS=, read -r service _; do
    run gcloud functions delete "$service" --project="$project" --region="$region" --gen2 --quiet </dev/null
  done <"$build/standing"
  run terraform -chdir="$infra" destroy -input=false -auto-approve "${variables[@]}"
}

main() {
  parse "$@"
  trap finish EXIT
  # On lines of their own: within `&&` bash would ignore a failure inside them.
  preflight
  bootstrap
  inventory
  plan
  case $action in
    plan) cat "$build/plan.log" ;;
    destroy) destroy ;;
    deploy)
      apply
      secrets
      functions
      smoke
      endpoints
      ;;
  esac
}

main "$@"
