# Who may do what: one service account a function with just what it uses, one that pushes, one that
# builds, and what Google's own service agents need for dead letters, tokens and ticks.

locals {
  build_email   = "fn-build@${var.project_id}.iam.gserviceaccount.com"
  pubsub_agent  = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  scheduler     = "serviceAccount:service-${local.project_number}@gcp-sa-cloudscheduler.iam.gserviceaccount.com"
  database_name = "projects/${var.project_id}/databases/${var.database}"

  publications = merge([
    for target, kind in local.kind : { for topic in kind.publishes : "${target}:${topic}" => { target = target, topic = topic } }
  ]...)

  clients = { admins = var.admins, callers = setunion(var.callers, var.admins) }

  # Who may invoke which service: the pushes, http mode from dispatch to the agents, the clients.
  invocations = merge(
    { for target in local.pushed : "${target}:push" => { target = target, member = google_service_account.push.member } },
    contains(local.targets, "dispatch") ? {
      for target in values(local.agents) :
      "${target}:dispatch" => { target = target, member = google_service_account.functions["dispatch"].member }
    } : {},
    merge([
      for target, kind in local.kind : {
        for member in try(local.clients[kind.clients], []) : "${target}:${member}" => { target = target, member = member }
      }
    ]...),
  )
}

resource "google_service_account" "functions" {
  for_each = local.account

  project      = var.project_id
  account_id   = each.value
  display_name = "Zantara: function ${each.key}"
  depends_on   = [google_project_service.apis]

  lifecycle {
    precondition {
      condition     = length(each.value) <= 30
      error_message = "The folder's name ${each.key} is too long: an agent's name may have 21 characters."
    }
  }
}

resource "google_service_account" "push" {
  project      = var.project_id
  account_id   = "pubsub-push"
  display_name = "Zantara: Pub/Sub pushes as this account"
  depends_on   = [google_project_service.apis]
}

resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "fn-build"
  display_name = "Zantara: builds the functions"
  depends_on   = [google_project_service.apis]
}

# --- what the functions use ---

resource "google_project_iam_member" "database" {
  for_each = { for target, kind in local.kind : target => kind.database if kind.database != null }

  project = var.project_id
  role    = each.value
  member  = google_service_account.functions[each.key].member

  condition {
    title       = "zantara-database"
    description = "Only the database of Zantara"
    expression  = "resource.name == \"${local.database_name}\""
  }
}

resource "google_pubsub_topic_iam_member" "publishers" {
  for_each = local.publications

  project = var.project_id
  topic   = google_pubsub_topic.topics[each.value.topic].name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.functions[each.value.target].member
}

# A binding needs its service, and deploy.sh makes that after the first apply: hence `deployed`.
resource "google_cloud_run_v2_service_iam_member" "invokers" {
  for_each = { for key, each in local.invocations : key => each if contains(var.deployed, local.service[each.target]) }

  project  = var.project_id
  location = var.region
  name     = local.service[each.value.target]
  role     = "roles/run.invoker"
  member   = each.value.member
}

# --- what Google's service agents need ---

resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  project = var.project_id
  topic   = google_pubsub_topic.topics["dead"].name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = { for name, hop in local.hops : name => hop if hop.attempts != null }

  project      = var.project_id
  subscription = google_pubsub_subscription.pushes[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_pubsub_topic_iam_member" "ticks" {
  project = var.project_id
  topic   = google_pubsub_topic.topics["ticks"].name
  role    = "roles/pubsub.publisher"
  member  = local.scheduler
}

# Cloud Build's default account is an editor in old projects and powerless in new ones: ours reads
# the sources, writes the images and the logs.
resource "google_project_iam_member" "build" {
  for_each = toset(["roles/artifactregistry.writer", "roles/logging.logWriter", "roles/storage.objectViewer"])

  project = var.project_id
  role    = each.key
  member  = google_service_account.build.member
}
