// Records: what the hub remembers, as rows. Times in milliseconds since 1970; 0 and "" stand for "none".
#pragma once

#include <cstdint>
#include <string>

namespace verge::hub {

struct TokenRecord {
  std::string id;
  std::string name;
  std::string hash;    ///< "sha256:…" of the secret.
  std::string rights;  ///< "read,publish"
  std::int64_t created_ms = 0;
};

/// A one-time token with which a device joins.
struct EnrolmentRecord {
  std::string id;
  std::string hash;
  std::string device;  ///< The only name it is good for.
  std::int64_t created_ms = 0;
  std::string created_by;
  std::int64_t expires_ms = 0;
  std::int64_t used_ms = 0;
  std::string used_by;
  std::string used_key;  ///< Fingerprint of the key that joined: the same may ask again when the answer was lost.
};

struct DeviceRecord {
  std::string name;
  std::int64_t joined_ms = 0;
  std::string key_fingerprint;
  std::int64_t certificate_until_ms = 0;
  std::int64_t revoked_ms = 0;
  std::string conflict;             ///< What is said to both machines.
  std::string continuation;         ///< Given with the newest answer.
  std::string continuation_before;  ///< What the report before it carried.
  std::int64_t accept_next = 0;     ///< 1: the next report counts whatever it carries.
  std::string instance;
  std::string address;
  std::int64_t reported_ms = 0;
  std::int64_t clock_ahead_ms = 0;  ///< The device's clock less the hub's at the last report.
  std::string report;               ///< ReportedState as JSON.
  std::string labels;               ///< The hub's, as JSON.
  std::int64_t desired_version = 0;
};

/// What a device has shown of what it booted.
struct MeasuredRecord {
  std::string device;
  std::string key_area;      ///< Public area of the attestation key with which it joined, as hexadecimal digits.
  std::string endorsement;   ///< Certificate of the TPM's maker in DER, as hexadecimal digits.
  std::string nonce;         ///< That the next quote must carry; no quote has carried it yet.
  std::string nonce_before;  ///< That the newest good quote carried.
  std::int64_t nonce_ms = 0;
  std::string instance;  ///< The run of the agent that the verdict is about.
  std::string verdict = "none";
  std::string reason_id;
  std::string reason;
  std::int64_t quoted_ms = 0;  ///< When `nonce_before` was given: the quote is younger; 0: there is none in this run.
  std::string report;          ///< MeasuredReport as JSON, of the newest report; its quote is the newest good one.
  // Whether the key lies in a real TPM.
  std::string endorsement_key;         ///< Public area, as hexadecimal digits, of the key that the credential is for.
  std::string credential;              ///< Digest of its secret; the device may have given it back already.
  std::int64_t activated_ms = 0;       ///< When it first gave it back; 0: it has not.
  std::string endorsed_by;             ///< The authority whose certificate it has.
  std::int64_t endorsed_until_ms = 0;  ///< 0: none of them has certified it.
  std::string endorsement_reason_id;   ///< Why it is not activated, or else not endorsed.
  std::string endorsement_reason;
  std::int64_t unable_ms = 0;  ///< When it last could not, in this run of its agent; 0: never.
};

/// A sample that a device has sent.
struct TelemetryRecord {
  std::int64_t number = 0;  ///< In the order of arrival.
  std::string device;
  std::int64_t taken_ms = 0;  ///< By the device's clock.
  std::int64_t stored_ms = 0;
  std::string sample;  ///< TelemetrySample as JSON.
};

/// How much of a device's samples with one set of numbers is there.
struct TelemetryStreamRecord {
  std::string device;
  std::string stream;
  std::int64_t stored_to = 0;
  std::int64_t stored_ms = 0;
};

/// What a device should run: one application.
struct DesiredRecord {
  std::string device;
  std::string application;
  std::string version;
  std::string target;
  std::string digest;
  std::string deployment;
  std::string watch;  ///< WatchPolicy as JSON.
};

/// A version of a model or an application: what becomes a TUF target.
struct VersionRecord {
  std::string kind;  ///< "model" or "application"
  std::string name;
  std::string version;
  std::string digest;
  std::string repository;  ///< Of a model.
  std::int64_t content_bytes = 0;
  std::int64_t size_bytes = 0;  ///< Of everything it names.
  std::string custom;           ///< TargetCustom as JSON, without the floor.
  std::string document;         ///< Of an application: canonical JSON.
  std::int64_t created_ms = 0;
  std::string created_by;
};

struct DeploymentRecord {
  std::int64_t number = 0;
  std::string kind;  ///< "deploy", "rollback", "removal"
  std::string application;
  std::string version;
  std::string target;
  std::string digest;
  std::string selector;
  std::string watch;
  std::string rolls_back;
  std::int64_t created_ms = 0;
  std::string created_by;
};

/// A deployment on one device.
struct DeploymentDeviceRecord {
  std::int64_t number = 0;
  std::string device;
  std::string state;  ///< DeploymentDeviceState
  std::string reason_id;
  std::string reason;
  std::string version;  ///< That it should run; "": the application ends.
  std::string target;
  std::string digest;
  std::string before_version;  ///< What it had; "": nothing.
  std::string before_target;
  std::string before_digest;
  std::int64_t offered_ms = 0;  ///< When the desired state was changed.
  std::int64_t changed_ms = 0;
  std::string update;               ///< Newest UpdateReport as JSON.
  std::int64_t clock_ahead_ms = 0;  ///< At that report.
  std::string application;          ///< Of the deployment.
};

struct ManifestRecord {
  std::string repository;
  std::string digest;
  std::string media_type;
  std::string artifact_type;
  std::string subject;
  std::string annotations;  ///< JSON
  std::int64_t size_bytes = 0;
};

/// A blob in a repository.
struct BlobRecord {
  std::string repository;
  std::string digest;
  std::int64_t size_bytes = 0;  ///< -1: not known yet, from an older hub.
};

/// What a repository holds.
struct RepositoryRecord {
  std::string repository;
  std::int64_t size_bytes = 0;  ///< Of its blobs and manifests, whether others have them too or not.
  std::int64_t manifests = 0;
  std::int64_t tags = 0;
};

/// What makes one file of a package out of a file of another version; without a digest: tried, and not worth it.
struct DeltaRecord {
  std::string from_package;  ///< Digests of the two manifests.
  std::string to_package;
  std::string from_blob;
  std::string to_blob;
  std::string digest;
  std::int64_t size_bytes = 0;
  std::string repository;
  std::string manifest;  ///< Of the referrer that names it.
  std::int64_t made_ms = 0;
};

struct UploadRecord {
  std::string id;
  std::string repository;
  std::int64_t created_ms = 0;
  std::int64_t used_ms = 0;  ///< When something was last appended.
};

struct EventRecord {
  std::int64_t id = 0;
  std::int64_t at_ms = 0;
  std::string who;
  std::string action;
  std::string subject;
  std::string text;
};

}  // namespace verge::hub
