# Builds test and push, and submit trainings; the launcher scores a night, or hands it to Dataflow's workers; trainings
# write their runs; the scheduler starts the night, and does nothing else.
resource "google_service_account" "build" {
  account_id   = "digitmill-build"
  display_name = "digitmill: builds, and submits trainings"

  depends_on = [google_project_service.used]
}

resource "google_service_account" "launcher" {
  account_id   = "digitmill-launcher"
  display_name = "digitmill: scores nights and launches Dataflow jobs"

  depends_on = [google_project_service.used]
}

resource "google_service_account" "worker" {
  account_id   = "digitmill-worker"
  display_name = "digitmill: Dataflow workers"

  depends_on = [google_project_service.used]
}

resource "google_service_account" "trainer" {
  account_id   = "digitmill-trainer"
  display_name = "digitmill: trainings"

  depends_on = [google_project_service.used]
}

resource "google_service_account" "scheduler" {
  account_id   = "digitmill-scheduler"
  display_name = "digitmill: starts the nightly run"

  depends_on = [google_project_service.used]
}

# Who does what in which bucket. objectViewer reads and lists; objectUser also writes and deletes objects (a lease is
# overwritten), and changes no bucket. Nobody here writes models: var.model_publishers do.
# (roles/dataflow.worker, below, also lets workers add objects to any bucket of the project, but not change them.)
locals {
  access = {
    inputs  = { launcher = "objectViewer", worker = "objectViewer", trainer = "objectViewer" }
    models  = { launcher = "objectViewer", worker = "objectViewer", trainer = "objectViewer" }
    outputs = { launcher = "objectUser", worker = "objectUser", trainer = "objectUser" }
    code    = { build = "objectUser", launcher = "objectViewer", worker = "objectViewer", trainer = "objectViewer" }
  }
  buckets = {
    inputs  = google_storage_bucket.inputs.name
    models  = google_storage_bucket.models.name
    outputs = google_storage_bucket.outputs.name
    code    = google_storage_bucket.code.name
  }
  members = {
    build    = google_service_account.build.member
    launcher = google_service_account.launcher.member
    worker   = google_service_account.worker.member
    trainer  = google_service_account.trainer.member
  }
  grants = merge([
    for bucket, accounts in local.access : {
      for account, role in accounts : "${bucket}-${account}" => { bucket = bucket, account = account, role = role }
    }
  ]...)
}

resource "google_storage_bucket_iam_member" "objects" {
  for_each = local.grants
  bucket   = local.buckets[each.value.bucket]
  role     = "roles/storage.${each.value.role}"
  member   = local.members[each.value.account]
}

resource "google_storage_bucket_iam_member" "publishers" {
  for_each = var.model_publishers
  bucket   = google_storage_bucket.models.name
  role     = "roles/storage.objectUser"
  member   = each.key
}

# Beam looks at the bucket itself before it puts packages there.
resource "google_storage_bucket_iam_member" "bucket" {
  bucket = google_storage_bucket.outputs.name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.launcher.member
}

resource "google_artifact_registry_repository_iam_member" "push" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "pull" {
  for_each   = { for account, member in local.members : account => member if account != "build" }
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = each.value
}

resource "google_project_iam_member" "build" {
  for_each = toset(["roles/aiplatform.user", "roles/logging.logWriter"])
  project  = var.project
  role     = each.key
  member   = google_service_account.build.member
}

resource "google_project_iam_member" "launcher" {
  for_each = toset(["roles/bigquery.jobUser", "roles/dataflow.developer", "roles/logging.logWriter"])
  project  = var.project
  role     = each.key
  member   = google_service_account.launcher.member
}

resource "google_project_iam_member" "worker" {
  for_each = toset(["roles/dataflow.worker", "roles/logging.logWriter"])
  project  = var.project
  role     = each.key
  member   = google_service_account.worker.member
}

resource "google_project_iam_member" "trainer" {
  for_each = toset(["roles/aiplatform.user", "roles/logging.logWriter"])
  project  = var.project
  role     = each.key
  member   = google_service_account.trainer.member
}

resource "google_bigquery_dataset_iam_member" "load" {
  dataset_id = google_bigquery_dataset.digits.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.launcher.member
}

# Who starts jobs that run as whom, and as nobody else.
locals {
  acts_as = {
    launcher  = { as = google_service_account.worker.name, member = google_service_account.launcher.member }
    build     = { as = google_service_account.trainer.name, member = google_service_account.build.member }
    scheduler = { as = google_service_account.launcher.name, member = google_service_account.scheduler.member }
  }
}

resource "google_service_account_iam_member" "acts_as" {
  for_each           = local.acts_as
  service_account_id = each.value.as
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.member
}

# To run a trigger takes this one permission; builds.editor would also change and delete triggers.
resource "google_project_iam_custom_role" "scheduler" {
  role_id     = "digitmillScheduler"
  title       = "digitmill: starts builds"
  permissions = ["cloudbuild.builds.create"]

  depends_on = [google_project_service.used]
}

resource "google_project_iam_member" "scheduler" {
  project = var.project
  role    = google_project_iam_custom_role.scheduler.id
  member  = google_service_account.scheduler.member
}
