# What comes in, what scores it, what comes out, and the code that runs: apart, so that no worker can change a model or
# what the next night runs. Models and code keep every version; what is deleted or overwritten elsewhere can be had back
# for a week.
locals {
  week = 7 * 24 * 60 * 60
}

resource "google_storage_bucket" "inputs" {
  name                        = "${var.project}-digitmill-inputs"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = local.week
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

resource "google_storage_bucket" "models" {
  name                        = "${var.project}-digitmill-models"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = local.week
  }

  depends_on = [google_project_service.used]
}

# nights/, state/, runs of trainings, and what is temporary.
resource "google_storage_bucket" "outputs" {
  name                        = "${var.project}-digitmill-outputs"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = local.week
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

  depends_on = [google_project_service.used]
}

# templates/ of Dataflow, and staging/ of trainings' packages.
resource "google_storage_bucket" "code" {
  name                        = "${var.project}-digitmill-code"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = local.week
  }

  depends_on = [google_project_service.used]
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "digitmill"
  location      = var.region
  format        = "DOCKER"

  # A tag stays with the image that it was first given to.
  docker_config {
    immutable_tags = true
  }

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
