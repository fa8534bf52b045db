# Scheduler -> Cloud Build trigger -> deploy/nightly/cloudbuild.yaml, in the image of var.scorer.
resource "google_cloudbuild_trigger" "nightly" {
  name            = "digitmill-nightly"
  location        = var.region
  service_account = google_service_account.launcher.id

  source_to_build {
    repository = var.repository
    ref        = "refs/heads/${var.branch}"
    repo_type  = "UNKNOWN"
  }

  git_file_source {
    repository = var.repository
    path       = "deploy/nightly/cloudbuild.yaml"
    revision   = "refs/heads/${var.branch}"
    repo_type  = "UNKNOWN"
  }

  substitutions = {
    _SCORER           = var.scorer
    _INPUT            = "gs://${google_storage_bucket.inputs.name}/incoming"
    _MODEL            = "gs://${google_storage_bucket.models.name}/model"
    _NIGHTS           = "gs://${google_storage_bucket.outputs.name}/nights"
    _STATE            = "gs://${google_storage_bucket.outputs.name}/state"
    _MAX_FAILURE_RATE = var.max_failure_rate
    _FAIL_ON          = var.fail_on
    _BEAM_FLAGS       = var.beam_flags
  }
}

resource "google_cloud_scheduler_job" "nightly" {
  name      = "digitmill-nightly"
  region    = var.region
  schedule  = var.schedule
  time_zone = var.time_zone

  # A build that could not be started is started later; one that failed is for a person.
  retry_config {
    retry_count = 3
  }

  http_target {
    http_method = "POST"
    uri         = "https://cloudbuild.googleapis.com/v1/${google_cloudbuild_trigger.nightly.id}:run"
    body        = base64encode("{}")
    headers = {
      "Content-Type" = "application/json"
    }

    oauth_token {
      service_account_email = google_service_account.scheduler.email
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  display_name = "digitmill"
  type         = "email"
  labels = {
    email_address = var.alert_email
  }

  depends_on = [google_project_service.used]
}

# Exit codes 1 to 4 all end a build with a line like "ERROR: build step 3 ... failed", its time limit with
# "TIMEOUT". What steps print has their names before it. A build that was never started has no log at all.
resource "google_monitoring_alert_policy" "failed" {
  display_name          = "digitmill: a nightly run has failed"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.email.name]

  conditions {
    display_name = "a build of the nightly trigger failed, or was not started"

    condition_matched_log {
      filter = <<-EOT
        (
          resource.type="build"
          resource.labels.build_trigger_id="${google_cloudbuild_trigger.nightly.trigger_id}"
          textPayload=~"^(ERROR|TIMEOUT)"
        ) OR (
          resource.type="cloud_scheduler_job"
          resource.labels.job_id="${google_cloud_scheduler_job.nightly.name}"
          severity>=ERROR
        )
      EOT
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }
}
