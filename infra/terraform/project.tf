# The project: its number, and the APIs that are on in it.

data "google_project" "this" {
  count      = var.project_number == null ? 1 : 0
  project_id = var.project_id
}

locals {
  project_number = var.project_number == null ? data.google_project.this[0].number : var.project_number

  apis = [
    "artifactregistry", # the functions' images
    "cloudbuild",       # builds them
    "cloudfunctions",
    "cloudresourcemanager", # IAM of the project
    "cloudscheduler",
    "firestore",
    "iam",
    "iamcredentials", # tokens of the push account
    "logging",
    "monitoring",
    "pubsub",
    "run",
    "secretmanager",
  ]
}

resource "google_project_service" "apis" {
  for_each = toset(var.domain == "" ? local.apis : concat(local.apis, ["compute"]))

  project            = var.project_id
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false # something else in the project may use it
}
