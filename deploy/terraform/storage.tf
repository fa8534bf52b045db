# One bucket: incoming/, model/, nights/, state/, and what is temporary.
resource "google_storage_bucket" "digits" {
  name                        = "${var.project}-digitmill"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Written once and never changed: what soft deletion would keep is paid for and of no use.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    condition {
      age            = 7
      matches_prefix = ["digitmill-temp/"]
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age            = 30
      matches_prefix = ["nights/", "state/"]
    }
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.keep_incoming_days > 0 ? [var.keep_incoming_days] : []
    content {
      condition {
        age            = lifecycle_rule.value
        matches_prefix = ["incoming/"]
      }
      action {
        type = "Delete"
      }
    }
  }

  depends_on = [google_project_service.used]
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "digitmill"
  location      = var.region
  format        = "DOCKER"

  depends_on = [google_project_service.used]
}

resource "google_bigquery_dataset" "digits" {
  dataset_id = "digitmill"
  location   = var.region

  depends_on = [google_project_service.used]
}

resource "google_bigquery_table" "rows" {
  for_each   = toset(["predictions", "failures"])
  dataset_id = google_bigquery_dataset.digits.dataset_id
  table_id   = each.key
  schema     = file("${path.module}/../../schemas/generated/${each.key}.bigquery.json")

  # As deploy/bigquery/load loads them.
  clustering = each.key == "predictions" ? ["decision", "image"] : ["code", "image"]

  dynamic "range_partitioning" {
    for_each = each.key == "predictions" ? ["digit"] : []
    content {
      field = range_partitioning.value
      range {
        start    = 0
        end      = 10
        interval = 1
      }
    }
  }
}
