# Who may do what: each binding that a hop needs is there, and no more.
mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/zantara-test/serviceAccounts/mock@zantara-test.iam.gserviceaccount.com"
      email  = "mock@zantara-test.iam.gserviceaccount.com"
      member = "serviceAccount:mock@zantara-test.iam.gserviceaccount.com"
    }
  }
  override_resource {
    target = google_service_account.push
    values = { member = "serviceAccount:push", email = "push", name = "projects/p/serviceAccounts/push@p.iam.gserviceaccount.com" }
  }
}

variables {
  project_id     = "zantara-test"
  project_number = "123456789012"
  admins         = ["user:head@example.com"]
  callers        = ["group:team@example.com"]
  deployed = [
    "accounts", "agent-codex", "agent-light", "callback", "cancel-task", "console", "dead-letter", "dispatch", "get-task",
    "results", "sweep"
  ]
  settings = { dispatch = { secrets = { MODEL_KEY = "model-key" } } }
}

run "bindings" {
  assert {
    condition = alltrue([
      for name, hop in local.hops : try(
        google_cloud_run_v2_service_iam_member.invokers["${hop.function}:push"].role == "roles/run.invoker"
        && google_cloud_run_v2_service_iam_member.invokers["${hop.function}:push"].member == "serviceAccount:push"
        && google_cloud_run_v2_service_iam_member.invokers["${hop.function}:push"].name == local.service[hop.function], false
      ) if hop.function != null && contains(var.deployed, try(local.service[hop.function], ""))
    ])
    error_message = "The push account may not invoke a service that it pushes to."
  }
  assert {
    condition = (
      google_service_account_iam_member.push_tokens.role == "roles/iam.serviceAccountTokenCreator"
      && google_service_account_iam_member.push_tokens.service_account_id == google_service_account.push.name
      && google_service_account_iam_member.push_tokens.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )
    error_message = "Pub/Sub may not mint tokens as the push account."
  }
  assert {
    condition = (
      google_pubsub_topic_iam_member.dead_letters.topic == "dead" && google_pubsub_topic_iam_member.dead_letters.role == "roles/pubsub.publisher"
      && google_pubsub_topic_iam_member.dead_letters.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    )
    error_message = "Pub/Sub may not publish dead letters: they would vanish."
  }
  assert {
    condition = alltrue([
      for name, sub in google_pubsub_subscription.pushes :
      length(sub.dead_letter_policy) == 0 || try(google_pubsub_subscription_iam_member.dead_letters[name].role, "") == "roles/pubsub.subscriber"
    ])
    error_message = "Pub/Sub may not take a dead letter from its source subscription."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.ticks.member == "serviceAccount:service-123456789012@gcp-sa-cloudscheduler.iam.gserviceaccount.com"
    error_message = "Cloud Scheduler may not publish ticks."
  }
  assert {
    condition     = alltrue([for key, each in local.publications : google_pubsub_topic_iam_member.publishers[key].topic == each.topic])
    error_message = "A function may not publish to a topic that it writes to."
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.readers["dispatch:MODEL_KEY"].secret_id == "model-key"
    error_message = "A function may not read its own secret."
  }
}

run "least_privilege" {
  assert {
    condition = toset(concat(
      values(google_project_iam_member.database)[*].role, values(google_project_iam_member.build)[*].role
      )) == toset([
      "roles/artifactregistry.writer", "roles/datastore.user", "roles/datastore.viewer", "roles/logging.logWriter",
      "roles/storage.objectViewer"
    ])
    error_message = "A role on the whole project is not on the list: owner, editor and their like are for nobody."
  }
  assert {
    condition     = alltrue([for each in google_project_iam_member.database : each.condition[0].expression == "resource.name == \"projects/zantara-test/databases/(default)\""])
    error_message = "A function may reach more than its database."
  }
  assert {
    condition     = length(setsubtract(local.targets, keys(google_service_account.functions))) == 0 && length(distinct(values(google_service_account.functions)[*].account_id)) == length(local.targets)
    error_message = "Two functions share a service account."
  }
  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service_iam_member.invokers : !startswith(each.member, "all")])
    error_message = "A service is open to the world."
  }
  assert {
    condition = alltrue([
      for key, each in google_cloud_run_v2_service_iam_member.invokers :
      contains([for target, kind in local.kind : local.service[target] if kind.clients == "callers"], each.name) if each.member == "group:team@example.com"
    ])
    error_message = "A caller may invoke a service that is not the callers', so set the limit of an account."
  }
  assert {
    condition = toset([for each in google_cloud_run_v2_service_iam_member.invokers : each.name if each.member == "user:head@example.com"]) == toset([
      for target, kind in local.kind : local.service[target] if kind.clients != null
    ])
    error_message = "An admin may not do what callers may, or may push."
  }
}

run "no_binding_without_its_service" {
  command = plan
  variables {
    deployed = []
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.invokers) == 0
    error_message = "A binding is planned on a service that does not exist yet."
  }
}

run "the_world_is_no_caller" {
  command = plan
  variables {
    callers = ["allUsers"]
  }
  expect_failures = [var.callers]
}
