# The topics, and the subscriptions that push from them to the functions.

resource "google_pubsub_topic" "topics" {
  for_each = toset(local.topics)

  project    = var.project_id
  name       = each.key
  depends_on = [google_project_service.apis]
}

resource "google_pubsub_subscription" "pushes" {
  for_each = local.hops

  project = var.project_id
  name    = each.key
  topic   = google_pubsub_topic.topics[each.value.topic].name
  filter  = each.value.filter

  ack_deadline_seconds = 600 # the most there is; every function's timeout lies below it
  # A tick that is ten minutes old is worth nothing: the next one does its work.
  message_retention_duration = each.value.topic == "ticks" ? "600s" : "604800s"

  push_config {
    push_endpoint = each.value.endpoint
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = each.value.audience
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # What cannot be delivered moves to `dead`. That topic's own handler and the ticks have nowhere
  # to go: the first is retried until its retention ends, the second until the next tick.
  dynamic "dead_letter_policy" {
    for_each = each.value.attempts == null ? [] : [each.value.attempts]
    content {
      dead_letter_topic     = google_pubsub_topic.topics["dead"].id
      max_delivery_attempts = dead_letter_policy.value
    }
  }

  expiration_policy {
    ttl = "" # never: else 31 idle days delete it, and a system that rests at no cost is idle often
  }

  lifecycle {
    precondition {
      condition     = each.value.function == null || try(local.size[each.value.function].timeout, 0) < 600
      error_message = "The timeout of ${coalesce(each.value.function, "it")} must lie below the acknowledgement deadline (600 s)."
    }
  }
}

# Every dead message once more, for a person to read: pull it to look, acknowledge it to clear the
# alert. 31 days is the longest that Pub/Sub keeps one.
resource "google_pubsub_subscription" "dead_archive" {
  project = var.project_id
  name    = "dead-archive"
  topic   = google_pubsub_topic.topics["dead"].name

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}
