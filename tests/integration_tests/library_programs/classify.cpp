// perform_image_classification(image_path, model_path): prints the predicted class.
#include <iostream>
#include <verge/base/file.hpp>
#include <verge/processing/open_model.hpp>

int main(int, char** arguments) {
  auto image = verge::read_file(arguments[1], 1 << 28);
  auto model = verge::processing::open_model(arguments[2]);
  if (!image || !model) return std::cerr << (image ? model.error() : image.error()).text() << '\n', 1;
  auto prediction = model->predict_encoded(*image);
  if (!prediction) return std::cerr << prediction.error().text() << '\n', 1;
  std::cout << (*prediction)->classes.front().label << '\n';
}
