# What a person must hear of: dead messages, messages that nobody takes, errors, empty accounts.

locals {
  services = "^(${join("|", sort(values(local.service)))})$"

  alerts = {
    dead-letters = {
      title     = "Dead letters"
      severity  = "ERROR"
      about     = "Messages in the subscription dead-archive: a hop gave up on them. Pull to read them (`gcloud pubsub subscriptions pull dead-archive`), mend the cause, then acknowledge them."
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"dead-archive\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      base      = null
      label     = "subscription_id"
      threshold = 0
      duration  = "0s"
      aligner   = "ALIGN_MAX"
    }
    stale-messages = {
      title     = "Messages that nobody takes"
      severity  = "ERROR"
      about     = "The oldest message of a push subscription has waited over five minutes: its function fails, or has too few instances."
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = monitoring.regex.full_match(\"sub-.*\") AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      base      = null
      label     = "subscription_id"
      threshold = 300 # seconds
      duration  = "120s"
      aligner   = "ALIGN_MAX"
    }
    server-errors = {
      title     = "Functions answer 5xx"
      severity  = "ERROR"
      about     = "Over one in a hundred requests to a function fails on our side; its logs say why."
      filter    = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = monitoring.regex.full_match(\"${local.services}\") AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      base      = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = monitoring.regex.full_match(\"${local.services}\") AND metric.type = \"run.googleapis.com/request_count\""
      label     = "service_name"
      threshold = 0.01
      duration  = "300s"
      aligner   = "ALIGN_RATE"
    }
  }
}

resource "google_monitoring_notification_channel" "emails" {
  for_each = toset(var.alert_emails)

  project      = var.project_id
  display_name = "Zantara: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  depends_on   = [google_project_service.apis]
}

resource "google_monitoring_alert_policy" "alerts" {
  for_each = local.alerts

  project               = var.project_id
  display_name          = "Zantara: ${each.value.title}"
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = [for channel in google_monitoring_notification_channel.emails : channel.name]

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter             = each.value.filter
      denominator_filter = each.value.base
      comparison         = "COMPARISON_GT"
      threshold_value    = each.value.threshold
      duration           = each.value.duration

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.${each.value.label}"]
      }

      dynamic "denominator_aggregations" {
        for_each = each.value.base == null ? [] : [each.value.aligner]
        content {
          alignment_period     = "60s"
          per_series_aligner   = denominator_aggregations.value
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = ["resource.label.${each.value.label}"]
        }
      }
    }
  }

  documentation {
    content   = each.value.about
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }

  depends_on = [google_project_service.apis]
}

# It looks at the log itself: a policy over a metric of our own is refused for up to ten minutes after
# the metric was made, so a first apply would fail (hashicorp/terraform-provider-google#11102).
resource "google_monitoring_alert_policy" "exhausted_accounts" {
  project               = var.project_id
  display_name          = "Zantara: An account's money is spent"
  severity              = "WARNING"
  combiner              = "OR"
  notification_channels = [for channel in google_monitoring_notification_channel.emails : channel.name]

  conditions {
    display_name = "Refused with budget_exceeded"

    condition_matched_log {
      filter = "resource.type=\"cloud_run_revision\" AND jsonPayload.code=\"budget_exceeded\""
    }
  }

  documentation {
    content   = "Requests are refused with budget_exceeded: raise the account's limit, or wait for its next window."
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s" # a log's policy must have one
    }
  }

  depends_on = [google_project_service.apis]
}
