# shellcheck shell=bash disable=SC2034,SC2154 # deploy.sh sources it, and shares its variables
# The project before Terraform: whether all is there, what Terraform stands on, what was deployed.

preflight() {
  step "Checking tools, login, project, billing and region"
  local tool
  for tool in gcloud terraform python3; do
    command -v "$tool" >/dev/null || die "$tool is not installed, or not on PATH."
  done
  export CLOUDSDK_CORE_DISABLE_PROMPTS=1
  login
  account=$(gcloud config get-value account)
  number=$(gcloud projects describe "$project" --format='value(projectNumber)') ||
    die "There is no project '$project', or $account may not see it."
  [[ $(gcloud billing projects describe "$project" --format='value(billingEnabled)') == True ]] ||
    die "Billing is off for '$project', or $account may not see it: 'gcloud billing projects link $project' turns it on."
  apis=$(gcloud services list --enabled --project="$project" --format='value(config.name)') ||
    die "$account may not list the APIs of '$project', or serviceusage.googleapis.com is off."
  [[ $region =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || die "REGION must look like us-central1, not '$region'."
  ! on run || place
}

# Terraform uses gcloud's login, for the hour that a token lasts, or the credentials it is pointed to.
login() {
  local token
  token=$(gcloud auth print-access-token) || die "Not logged in: run 'gcloud auth login'."
  [[ -n ${GOOGLE_APPLICATION_CREDENTIALS-} ]] || export GOOGLE_OAUTH_ACCESS_TOKEN=$token
}

place() {
  gcloud run regions list --project="$project" --format='value(locationId)' | grep -x "$region" >/dev/null ||
    die "Cloud Run has no region '$region'."
}

on() { grep -qx "$1.googleapis.com" <<<"$apis"; } # is this API on?

# What Terraform itself stands on: some APIs, the service agents that its bindings name, its state.
# The bucket's versioning comes last: a run that died before it makes the service agents once more.
bootstrap() {
  step "Preparing the project for Terraform"
  local api missing=() versioned stands=yes
  bucket=$project-zantara-state
  versioned=$(gcloud storage buckets describe "gs://$bucket" --format='value(versioning_enabled)' 2>/dev/null) || stands=''
  for api in cloudresourcemanager cloudscheduler iam pubsub run; do on "$api" || missing+=("$api.googleapis.com"); done
  ((${#missing[@]} == 0)) || run gcloud services enable "${missing[@]}" --project="$project"
  [[ -n $dry ]] || on run || place # before anything is put there
  if ((${#missing[@]})) || [[ $versioned != True ]]; then
    run gcloud beta services identity create --service=pubsub.googleapis.com --project="$project"
    run gcloud beta services identity create --service=cloudscheduler.googleapis.com --project="$project"
  fi
  if [[ -z $stands ]]; then
    run gcloud storage buckets create "gs://$bucket" --project="$project" --location="$region" \
      --uniform-bucket-level-access --public-access-prevention
    [[ -z $dry ]] || bucket='' # there is no state yet, and Terraform plans from nothing
  fi
  [[ $versioned == True ]] || run gcloud storage buckets update "gs://$project-zantara-state" --versioning
}

inventory() {
  step "Looking at what stands"
  local service
  mkdir -p "$build" && : >"$build/standing" && : >"$build/audiences" && databases=''
  ! on run || gcloud run services list --project="$project" --region="$region" \
    --format='value(metadata.name,metadata.annotations."run.googleapis.com/custom-audiences")' >"$build/audiences"
  while IFS=$'\t' read -r service _; do services+=("$service"); done <"$build/audiences"
  ! on firestore || databases=$(gcloud firestore databases list --project="$project" --format='value(name.basename())')
  ! on cloudfunctions || gcloud functions list --v2 --project="$project" --regions="$region" --filter='labels.zantara_bundle:*' \
    --format='csv[no-heading](name.basename(),labels.zantara_bundle,state)' >"$build/standing"
}
