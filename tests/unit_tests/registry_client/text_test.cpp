// What is read of foreign texts: references, challenges, credentials, manifests.
#include <gmock/gmock.h>

#include "verge/base/base64.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/registry_client/artifact.hpp"
#include "verge/registry_client/challenge.hpp"
#include "verge/registry_client/credentials.hpp"
#include "verge/registry_client/reference.hpp"

namespace verge::registry_client {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(Base64, GoesBothWays) {
  for (const std::string text : {"", "f", "fo", "foo", "foob", "fooba", "foobar", "\xff\xfe\x00x"}) {
    EXPECT_EQ(decode_base64(encode_base64(text)), text);
  }
  EXPECT_EQ(encode_base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(decode_base64("Zm9vYg"), "foob");
  EXPECT_EQ(decode_base64("Zm9v Yg"), std::nullopt);
}

TEST(References, AreTakenApart) {
  struct Case {
    std::string text, registry, repository, tag, digest, wanted;
  };
  for (const auto& c : std::vector<Case>{
           {"ghcr.io/team/cat:1.0.0", "ghcr.io", "team/cat", "1.0.0", "", "1.0.0"},
           {"localhost/cat", "localhost", "cat", "", "", "latest"},
           {"localhost:5000/a/b@" + kDigest, "localhost:5000", "a/b", "", kDigest, kDigest},
           {"[::1]:5000/a__b/c-d.e:V_1", "[::1]:5000", "a__b/c-d.e", "V_1", "", "V_1"},
           {"127.0.0.1:80/x:1@" + kDigest, "127.0.0.1:80", "x", "1", kDigest, kDigest},
       }) {
    const auto reference = parse_reference(c.text);
    ASSERT_TRUE(reference) << reference.error().text();
    EXPECT_EQ(reference->registry, c.registry);
    EXPECT_EQ(reference->repository, c.repository);
    EXPECT_EQ(reference->tag, c.tag);
    EXPECT_EQ(reference->digest, c.digest);
    EXPECT_EQ(reference->wanted(), c.wanted);
    EXPECT_EQ(reference->text(), c.text);
  }
}

TEST(References, ThatAreNoneAreRefused) {
  for (const std::string text : {"",
                                 "cat",
                                 "cat:1.0.0",
                                 "team/cat",
                                 "ghcr.io/",
                                 "ghcr.io/Cat",
                                 "ghcr.io/a//b",
                                 "ghcr.io/a:",
                                 "ghcr.io/a:-x",
                                 "ghcr.io/a@sha256:12",
                                 "ghcr.io/a@md5:12",
                                 "ghcr.io:x/a",
                                 "ghcr.io:123456/a",
                                 "user@ghcr.io/a",
                                 "https://ghcr.io/a",
                                 "ghcr.io/../a",
                                 "ghcr.io/a___b",
                                 "ghcr.io/a b",
                                 "-a.b/c",
                                 "[::1/a",
                                 "[]:5/a"}) {
    const auto reference = parse_reference(text);
    ASSERT_FALSE(reference) << text;
    EXPECT_EQ(reference.error().id(), "VRG-REG-001");
  }
  EXPECT_FALSE(parse_reference("ghcr.io/" + std::string(2000, 'a')));
}

TEST(Challenges, AsRegistriesWriteThem) {
  const auto bearer = parse_challenges(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push")");
  ASSERT_THAT(bearer, SizeIs(1));
  EXPECT_EQ(bearer[0].scheme, "bearer");
  EXPECT_THAT(bearer[0].parameters,
              UnorderedElementsAre(Pair("realm", "https://auth.docker.io/token"), Pair("service", "registry.docker.io"),
                                   Pair("scope", "repository:a/b:pull,push")));
  const auto several = parse_challenges(R"(Negotiate, BEARER Realm = "a\"b" , service=x, Basic realm="y")");
  ASSERT_THAT(several, SizeIs(3));
  EXPECT_EQ(several[0].scheme, "negotiate");
  EXPECT_THAT(several[1].parameters, UnorderedElementsAre(Pair("realm", "a\"b"), Pair("service", "x")));
  EXPECT_EQ(several[2].scheme, "basic");
}

TEST(Challenges, EndWhereTheyAreMalformed) {
  EXPECT_THAT(parse_challenges(""), SizeIs(0));
  EXPECT_THAT(parse_challenges("\"Basic\""), SizeIs(0));
  EXPECT_THAT(parse_challenges(R"(Basic realm="x", Bearer realm="open)"), SizeIs(1));
  EXPECT_THAT(parse_challenges(R"(Bearer realm=, Basic realm="x")"), SizeIs(0));
  std::string many = "Bearer ";
  for (int i = 0; i < 100; ++i) many += "a" + std::to_string(i) + "=1,";
  EXPECT_THAT(parse_challenges(many), SizeIs(0));
  std::string schemes;
  for (int i = 0; i < 100; ++i) schemes += "Basic, ";
  EXPECT_THAT(parse_challenges(schemes), SizeIs(8));
}

TEST(CredentialsFile, IsReadAsDockerWritesIt) {
  const std::string text = R"({"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"},
    "ghcr.io": {"auth": "bWU6c2VjOnJldA=="}, "azure.example": {"identitytoken": "t", "auth": "MDAwOg=="},
    "https://old.example/v2/": {"username": "u", "password": "p"}, "empty.example": {}},
    "credHelpers": {"ecr.example": "ecr-login"}})";
  const auto of = [&](std::string_view registry) { return *parse_credentials(text, registry, "config.json"); };
  EXPECT_EQ(of("ghcr.io").username, "me");
  EXPECT_EQ(of("ghcr.io").password, "sec:ret");
  EXPECT_EQ(of("docker.io").password, "b");
  EXPECT_EQ(of("azure.example").identity_token, "t");
  EXPECT_EQ(of("old.example").password, "p");
  EXPECT_TRUE(of("empty.example").empty());
  EXPECT_TRUE(of("other.example").empty());
  EXPECT_EQ(of("ecr.example").helper, "ecr-login");
  EXPECT_TRUE(of("ecr.example").empty());
  EXPECT_EQ(of("ghcr.io.evil.example").empty(), true);
  EXPECT_EQ(parse_credentials(R"({"auths": {"a.b": {"auth": "no base64"}}})", "a.b", "f").error().id(), "VRG-REG-002");
  EXPECT_FALSE(parse_credentials("{", "a.b", "f"));
  EXPECT_TRUE(read_credentials("/nowhere/config.json", "a.b")->empty());
}

std::string manifest(const std::string& layers, const std::string& more = "") {
  return R"({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",)" + more +
         R"("config": {"mediaType": "application/vnd.x.config", "digest": ")" + kDigest +
         R"(", "size": 2}, "layers": [)" + layers + "]}";
}

TEST(Artifacts, NameTheirBlobsOnce) {
  const std::string other = "sha256:" + std::string(64, 'b');
  const std::string layer = R"({"mediaType": "m", "digest": ")" + other + R"(", "size": 3})";
  const auto content = manifest(layer + "," + layer);
  const auto artifact = parse_artifact(content, "application/vnd.oci.image.manifest.v1+json; charset=x", "", "o");
  ASSERT_TRUE(artifact) << artifact.error().text();
  EXPECT_EQ(artifact->digest, crypto::sha256(content));
  EXPECT_EQ(artifact->content, content);
  EXPECT_EQ(artifact->artifact_type, "application/vnd.x.config");
  ASSERT_THAT(artifact->blobs, SizeIs(2));
  EXPECT_EQ(artifact->blobs[1].size_bytes, 3U);
}

TEST(Artifacts, ThatAreNoneAreRefused) {
  const auto id = [](const std::string& content, const std::string& type = "", const std::string& digest = "") {
    const auto artifact = parse_artifact(content, type, digest, "origin");
    return artifact ? std::string("(read)") : artifact.error().id();
  };
  EXPECT_EQ(id(manifest("")), "(read)");
  EXPECT_EQ(id(manifest(""), "", kDigest), "VRG-REG-007");
  EXPECT_EQ(id(manifest(""), "application/vnd.oci.image.index.v1+json"), "VRG-REG-008") << "one type and another";
  const std::string other = R"({"mediaType": "m", "digest": "sha256:)" + std::string(64, 'b') + R"(", )";
  for (const auto& bad : std::vector<std::string>{
           R"({"mediaType": "m", "digest": "sha256:12", "size": 3})", R"({"mediaType": "m", "size": 3})",
           R"({"mediaType": "a b", "digest": ")" + kDigest + R"(", "size": 3})", other + R"("size": -3})",
           other + R"("size": 99999999999999999999})", other + R"("annotations": {}})"}) {
    EXPECT_EQ(id(manifest(bad)), "VRG-REG-008") << bad;
  }
  for (const std::string bad : {"", "[]", "{}", "no", R"({"mediaType": "m", "config": []})"}) {
    EXPECT_EQ(id(bad), "VRG-REG-008") << bad;
  }
  EXPECT_EQ(id(manifest("", "\"x\": \"" + std::string(5U << 20U, 'x') + "\",")), "VRG-REG-008");
}

}  // namespace
}  // namespace verge::registry_client
