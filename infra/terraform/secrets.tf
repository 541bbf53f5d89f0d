# What a function is given from Secret Manager. No value passes through Terraform or its state.

locals {
  # The secret that signs callbacks: deploy.sh adds its first version, made at random.
  callback_secret = "zantara-callback-secrets"

  secrets = {
    for target in local.targets : target => merge(
      # dispatch refuses a callbackUrl where there is nothing to sign with.
      contains(["callback", "dispatch"], target) ? { CALLBACK_SECRETS = local.callback_secret } : {},
      try(var.settings[target].secrets, {}),
    )
  }
  readings = merge([
    for target, secrets in local.secrets : {
      for variable, secret in secrets : "${target}:${variable}" => { target = target, secret = secret }
    }
  ]...)
}

resource "google_secret_manager_secret" "callbacks" {
  project   = var.project_id
  secret_id = local.callback_secret

  replication {
    auto {}
  }

  depends_on = [google_project_service.apis]
}

resource "google_secret_manager_secret_iam_member" "readers" {
  for_each = local.readings

  project   = var.project_id
  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.functions[each.value.target].member

  depends_on = [google_secret_manager_secret.callbacks]
}
