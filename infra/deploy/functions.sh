# shellcheck shell=bash disable=SC2154 # deploy.sh sources it, and shares its variables
# The functions: which of them are deployed anew, and who is let in to those that are new.

functions() {
  step "Deploying the functions"
  local service hash audience before=${#services[@]}
  terraform -chdir="$infra" show -json "$PWD/$build/plan" | python3 infra/deploy/bundle.py "$build" >"$build/bundles"
  while IFS=$'\t' read -r service hash _ audience; do
    [[ -z $only || $service == "$only" ]] || continue
    if stands "$service" "$hash" && answers_to "$service" "$audience"; then say "$service stands unchanged." && continue; fi
    [[ " ${services[*]-} " == *" $service "* ]] || services+=("$service")
    release "$service" "$hash" "$audience" >"$build/$service/log" 2>&1 &
    building+=("$!:$service")
    ((${#building[@]} < ${JOBS:-4})) || collect
  done <"$build/bundles"
  collect
  ((${#services[@]} == before)) || admit
}

stands() { grep -qx "$1,$2,ACTIVE" "$build/standing"; } # does this service, of this hash?

# Does this service accept tokens for this audience? It is set after the deployment that a hash
# tells of, so a run may have died in between.
answers_to() { [[ $2 == - ]] || grep "^$1"$'\t' "$build/audiences" | grep -F "\"$2\"" >/dev/null; }

release() {
  local arguments=() argument
  while IFS= read -r argument; do arguments+=("$argument"); done <"$build/$1/arguments"
  stands "$1" "$2" || run gcloud functions deploy "$1" --project="$project" --region="$region" "${arguments[@]}" || return
  [[ $3 == - ]] || run gcloud run services update "$1" --project="$project" --region="$region" --add-custom-audiences="$3"
}

# Waits for the builds under way; every one is seen to its end before a failure stops the run.
collect() {
  local each failed=''
  for each in ${building[@]+"${building[@]}"}; do
    if wait "${each%%:*}"; then [[ -n $dry ]] || say "${each#*:} is deployed."; else failed+=" ${each#*:}"; fi
  done
  building=()
  for each in $failed; do say "-- $each:" && tail -n 20 "$build/$each/log"; done >&2
  [[ -z $failed ]] || die "These functions were not deployed:$failed. Their logs: $build/NAME/log."
}

# A binding needs its service: once there are new ones, Terraform lets pushes and callers in.
admit() {
  step "Admitting pushes and callers to the new services"
  login # the builds may have taken long
  describe
  run terraform -chdir="$infra" apply -input=false -auto-approve "${variables[@]}"
}
