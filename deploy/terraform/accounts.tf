# Builds score, and hand jobs over; Dataflow's workers read and write; the scheduler starts builds.
resource "google_service_account" "build" {
  account_id   = "digitmill-build"
  display_name = "digitmill: builds and the nightly run"

  depends_on = [google_project_service.used]
}

resource "google_service_account" "worker" {
  account_id   = "digitmill-worker"
  display_name = "digitmill: Dataflow workers and trainings"

  depends_on = [google_project_service.used]
}

resource "google_service_account" "scheduler" {
  account_id   = "digitmill-scheduler"
  display_name = "digitmill: starts the nightly build"

  depends_on = [google_project_service.used]
}

# objectUser reads, writes and deletes objects (a lease is overwritten), and changes no bucket.
resource "google_storage_bucket_iam_member" "objects" {
  for_each = {
    build  = google_service_account.build.member
    worker = google_service_account.worker.member
  }
  bucket = google_storage_bucket.digits.name
  role   = "roles/storage.objectUser"
  member = each.value
}

# Beam looks at the bucket itself before it puts packages there.
resource "google_storage_bucket_iam_member" "bucket" {
  bucket = google_storage_bucket.digits.name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "push" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "pull" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.worker.member
}

resource "google_project_iam_member" "build" {
  for_each = toset([
    "roles/aiplatform.user",
    "roles/bigquery.jobUser",
    "roles/dataflow.developer",
    "roles/logging.logWriter",
  ])
  project = var.project
  role    = each.key
  member  = google_service_account.build.member
}

resource "google_project_iam_member" "worker" {
  for_each = toset(["roles/dataflow.worker", "roles/logging.logWriter"])
  project  = var.project
  role     = each.key
  member   = google_service_account.worker.member
}

resource "google_bigquery_dataset_iam_member" "load" {
  dataset_id = google_bigquery_dataset.digits.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.build.member
}

# A build starts jobs that run as the worker, and as nobody else.
resource "google_service_account_iam_member" "build_as_worker" {
  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.build.member
}

resource "google_service_account_iam_member" "scheduler_as_build" {
  service_account_id = google_service_account.build.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.scheduler.member
}

resource "google_project_iam_member" "scheduler" {
  project = var.project
  role    = "roles/cloudbuild.builds.editor"
  member  = google_service_account.scheduler.member
}
