/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/finding.h"
#include "test/test.h"

TEST(finding_add__what_a_terminal_must_not_see__becomes_question_marks)
{
	struct findings f = { 0 };

	finding_add(&f, "a", FINDING_OK, "x%sy", "\033[31m\n\xc3\xa4");
	CHECK(strcmp(f.list[0].text, "x?[31m???y") == 0);
	CHECK(!findings_bad(&f));
}

TEST(finding_of__error_or_not__has_their_words)
{
	struct findings f = { 0 };
	struct err e;
	int r = err_set(&e, ERR_VERIFY, "no %d", 7);

	finding_of(&f, "a", r, &e, "fine");
	finding_of(&f, "b", 0, &e, "fine %d", 8);
	CHECK(strcmp(finding_get(&f, "a")->text, "no 7") == 0);
	CHECK(strcmp(finding_get(&f, "b")->text, "fine 8") == 0);
	CHECK(finding_get(&f, "c") == NULL);
	CHECK(findings_bad(&f));
}

TEST(findings__too_many__count_as_bad)
{
	cleanup_buf struct buf text = BUF_MAX(1u << 20), json = BUF_MAX(1u << 20);
	struct findings f = { 0 };

	for (int i = 0; i < FINDINGS_MAX; i++)
		finding_add(&f, "a", FINDING_WARN, "w");
	CHECK(!findings_bad(&f));
	finding_add(&f, "b", FINDING_OK, "w");
	CHECK(findings_bad(&f));
	findings_text(&text, &f);
	findings_json(&json, &f);
	CHECK(strstr(buf_str(&text), "bad      findings") != NULL);
	CHECK(strstr(buf_str(&json), "\"name\":\"findings\",\"state\":\"bad\"") != NULL);
}
