# The clock: a tick a minute, on which the sweep does whatever is due.

resource "google_cloud_scheduler_job" "tick" {
  project     = var.project_id
  region      = var.region
  name        = "zantara-tick"
  description = "Wakes the sweep: expiries, retries, unpublished tasks"
  schedule    = "* * * * *"
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.topics["ticks"].id
    data       = base64encode("{}")
  }

  depends_on = [google_pubsub_topic_iam_member.ticks]
}
