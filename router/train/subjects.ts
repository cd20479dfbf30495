/** Subjects of the data sets -> what a prompt is about. Pure data. */
import type { Domain } from '../classify/classification.ts';

const SUBJECTS: Readonly<Partial<Record<Domain, string>>> = {
  general: 'miscellaneous,global_facts,other,trivia_qa,commonsense_qa,winograde,commongen,natural_qa,squad,hellaswag',
  maths: `elementary_mathematics,high_school_mathematics,college_mathematics,abstract_algebra,high_school_statistics,math,
    math-l5,gsm,gsm8k,agentverse-mgsm`,
  computing: `computer_security,college_computer_science,high_school_computer_science,machine_learning,computer science,mbpp,
    human_eval`,
  physics: 'high_school_physics,conceptual_physics,college_physics,astronomy,physics',
  chemistry: 'high_school_chemistry,college_chemistry,chemistry',
  biology: 'high_school_biology,college_biology,biology,medical_genetics,virology,anatomy',
  medicine: 'human_aging,nutrition,college_medicine,clinical_knowledge,professional_medicine,health',
  engineering: 'electrical_engineering,engineering',
  law: 'professional_law,international_law,jurisprudence,law',
  business: 'business_ethics,professional_accounting,management,marketing,public_relations,business',
  economics: 'high_school_macroeconomics,high_school_microeconomics,econometrics,economics',
  history: 'prehistory,high_school_european_history,high_school_us_history,high_school_world_history,history',
  psychology: 'professional_psychology,high_school_psychology,human_sexuality,psychology',
  philosophy: 'moral_disputes,moral_scenarios,formal_logic,logical_fallacies,world_religions,philosophy',
  society: `us_foreign_policy,security_studies,sociology,high_school_government_and_politics,high_school_geography`,
};

const DOMAIN_OF = new Map(
  Object.entries(SUBJECTS).flatMap(([domain, subjects]) =>
    subjects.split(',').map((subject) => [subject.trim(), domain as Domain] as const),
  ),
);

/** Undefined where a subject's questions are about many things. */
export function domainOfSubject(subject: string): Domain | undefined {
  return DOMAIN_OF.get(subject);
}
