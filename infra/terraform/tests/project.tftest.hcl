# The database, the alerts and the optional public URL.
mock_provider "google" {}

variables {
  project_id     = "zantara-test"
  project_number = "123456789012"
}

run "database" {
  assert {
    condition = (
      google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED"
      && google_firestore_database.this.deletion_policy == "ABANDON" && google_firestore_database.this.type == "FIRESTORE_NATIVE"
    )
    error_message = "The database can be deleted, or is not a native one."
  }
  assert {
    condition     = alltrue([for each in google_firestore_field.expire : each.field == "expireAt" && length(each.ttl_config) == 1])
    error_message = "Ended tasks and dead letters do not expire."
  }
  assert {
    condition     = alltrue([for each in google_firestore_field.exempt : each.field == "*" && length(try(each.index_config[0].indexes, [])) == 0])
    error_message = "A collection indexes fields that no query names."
  }
  assert {
    condition     = alltrue([for each in google_firestore_index.indexes : length(each.fields) > 1])
    error_message = "A composite index has one field."
  }
}

run "no_index_caps_the_tasks_once_they_are_sharded" {
  variables {
    sharding = "on"
  }
  assert {
    condition = alltrue([
      for each in google_firestore_index.indexes : each.fields[0].field_path == "shard"
      if length(setintersection([for field in each.fields : field.field_path], ["createdAt", "wakeAt"])) > 0
    ])
    error_message = "A time is indexed without its task's shard before it."
  }
  assert {
    condition     = alltrue([for each in google_firestore_field.searched : each.collection != "tasks"])
    error_message = "A time of the tasks has an index of its own."
  }
}

run "the_step_between_has_the_indexes_of_both_sides" {
  variables {
    sharding = "both"
  }
  assert {
    condition = alltrue([
      for name in keys(local.by_time) : contains(keys(google_firestore_index.indexes), name) && contains(keys(google_firestore_index.indexes), "${name}-sharded")
    ])
    error_message = "An index is missing while functions of either kind run."
  }
  assert {
    condition     = contains(keys(google_firestore_field.searched), "tasks.wakeAt") && contains(keys(google_firestore_field.searched), "tasks.createdAt")
    error_message = "The functions that are not deployed anew yet find no due tasks."
  }
  assert {
    condition     = toset([for target in local.targets : target if try(local.functions[target].environment.SHARDED, "") == "true"]) == toset(["console", "get_task", "sweep"])
    error_message = "A function that looks for tasks would still need the plain indexes when they go."
  }
}

run "sharding_is_off_both_or_on" {
  command = plan
  variables {
    sharding = "yes"
  }
  expect_failures = [var.sharding]
}

run "callbacks_are_signed" {
  assert {
    condition     = local.functions["callback"].secrets == { CALLBACK_SECRETS = google_secret_manager_secret.callbacks.secret_id }
    error_message = "The function callback has no secret to sign with."
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.readers["callback:CALLBACK_SECRETS"].role == "roles/secretmanager.secretAccessor"
    error_message = "The function callback may not read its secret."
  }
}

run "alerts" {
  variables {
    alert_emails = ["oncall@example.com"]
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.alerts)) == toset(["dead-letters", "stale-messages", "server-errors"])
    error_message = "An alert is missing."
  }
  assert {
    condition = (
      strcontains(google_monitoring_alert_policy.exhausted_accounts.conditions[0].condition_matched_log[0].filter, "jsonPayload.code=\"budget_exceeded\"")
      && length(google_monitoring_alert_policy.exhausted_accounts.alert_strategy[0].notification_rate_limit) == 1
    )
    error_message = "Nobody hears of an account whose money is spent."
  }
  assert {
    condition = alltrue([
      for each in concat(values(google_monitoring_alert_policy.alerts), [google_monitoring_alert_policy.exhausted_accounts]) :
      length(each.notification_channels) == 1
    ])
    error_message = "An alert tells nobody."
  }
}

run "no_public_url_unless_asked" {
  command = plan
  assert {
    condition     = length(google_compute_global_forwarding_rule.public) == 0 && length(google_compute_backend_service.public) == 0
    error_message = "A load balancer costs money even at rest, and nobody asked for one."
  }
}

run "public_url" {
  variables {
    domain = "zantara.example.com"
  }
  assert {
    condition     = google_compute_global_forwarding_rule.public["public"].port_range == "443" && google_compute_managed_ssl_certificate.public["public"].managed[0].domains == tolist(["zantara.example.com"])
    error_message = "The public URL is not https on the domain."
  }
  assert {
    condition     = toset(keys(google_compute_backend_service.public)) == toset([for target, kind in local.kind : target if kind.clients != null])
    error_message = "The public URL leads to more, or less, than the clients' endpoints."
  }
  assert {
    condition = [for route in local.routes : coalesce(route.template, route.prefix)] == [
      "/task/{id}/redrive", "/task/{id}/callback", "/task/{id}/cancel", "/task", "/account/", "/dispatch", "/health",
      "/openapi.json"
    ]
    error_message = "get_task would swallow the cancellations, or a path leads nowhere."
  }
}

run "an_id_is_not_a_name" {
  command = plan
  variables {
    project_id = "My Project"
  }
  expect_failures = [var.project_id]
}
